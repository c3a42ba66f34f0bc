// Package browsertest drives a real headless Chromium through pages, for the tests of the
// pages and of the manual.
//
// Its steps ask the page itself, again and again, and so bear any page that is replaced
// meanwhile. Those of chromedp follow the document by the events that the browser sends of
// it; on a busy machine one was seen to wait in vain for a page that had long been there.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Patience bounds each step, also on a machine that is very busy.
const Patience = 90 * time.Second

// interval is the time between two questions to a page.
const interval = 15 * time.Millisecond

// errThrown is an expression that cannot be answered, such as one with a selector that is none.
var errThrown = errors.New("the page threw")

// Step is one thing that is done with a page.
type Step = chromedp.Action[chromedp.Void]

// Start runs a Chromium until stop is called; the context is that of its first tab.
func Start(further ...chromedp.ExecAllocatorOption) (ctx context.Context, stop func(), err error) {
	path := os.Getenv("OSTIARY_TEST_CHROMIUM")
	if path == "" {
		return nil, func() {}, errors.New("there is no browser: run make test, which finds or installs Chromium (or set OSTIARY_TEST_CHROMIUM to its path)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	process, end := chromedp.NewExecAllocator(context.Background(), append(options, further...)...)
	ctx, cancel := chromedp.NewContext(process)
	stop = func() { cancel(); end() }
	if err := chromedp.Do(ctx); err != nil {
		return ctx, stop, fmt.Errorf("Chromium does not start: %w", err)
	}
	return ctx, stop, nil
}

// Front shows a tab: one that is behind another does not draw, and takes no keys.
func Front(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{})
	return chromedp.Void{}, err
}

// Visit goes to an address and waits until the page is loaded.
func Visit(address string) Step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		// The answer comes when the new page has taken the place of the old one.
		answer, err := cdp.Call(ctx, t, page.Navigate, page.NavigateParams{URL: address})
		if err == nil && answer.ErrorText != "" {
			err = errors.New(answer.ErrorText)
		}
		if err != nil {
			return chromedp.Void{}, fmt.Errorf("going to %.100s: %w", address, err)
		}
		return waiting("the page is loaded", `document.readyState === "complete"`)(ctx, t)
	}
}

// Reload loads the page anew and waits until it is there.
func Reload() Step {
	return replaced("the page is loaded anew", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.Reload, page.ReloadParams{})
		return chromedp.Void{}, err
	})
}

// Follow is Click on what leads to another page, and waits until that is there, though it
// may look as the one before.
func Follow(selector string) Step {
	return replaced("there is another page after "+selector, Click(selector))
}

// replaced takes a step and waits until another document has come of it.
func replaced(what string, step Step) Step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := evaluate(ctx, t, `window.ofBefore = true`); err != nil {
			return chromedp.Void{}, err
		}
		if _, err := step(ctx, t); err != nil {
			return chromedp.Void{}, err
		}
		return waiting(what, `!window.ofBefore && document.readyState === "complete"`)(ctx, t)
	}
}

// Visible waits until the first element of a CSS selector takes room on the page.
func Visible(selector string) Step {
	return waiting(selector+" is visible", found(selector, `shown(e)`))
}

// Gone waits until nothing on the page is of a CSS selector.
func Gone(selector string) Step {
	return waiting(selector+" is gone", found(selector, `!e`))
}

// Hidden waits until the first element of a CSS selector is there and takes no room.
func Hidden(selector string) Step {
	return waiting(selector+" is hidden", found(selector, `e && !shown(e)`))
}

// Click presses the left button of the mouse in the middle of an element: once it is visible,
// has not moved since the question before, and is what is really there. Within a label it is
// the label that is clicked, and its field may lie over it.
func Click(selector string) Step {
	middle := found(selector, `(() => {
		if (!shown(e)) return null
		e.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" })
		const box = e.getClientRects()[0]
		const x = box.left + box.width / 2, y = box.top + box.height / 2
		const before = e.middleOfBefore
		e.middleOfBefore = [x, y].join()
		const there = document.elementFromPoint(x, y)
		const hit = e.contains(there) || there && e.closest("label")?.contains(there)
		if (!hit || before !== e.middleOfBefore) return null
		window.clickHeard = true // as where no script runs, and nobody hears anything
		addEventListener("ear", () => { window.clickHeard = false }, { once: true })
		dispatchEvent(new Event("ear"))
		addEventListener("click", () => { window.clickHeard = true }, { capture: true, once: true })
		return [x, y]
	})()`)
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		for range clicks {
			value, err := wait(ctx, t, selector+" can be clicked", middle)
			if err != nil {
				return chromedp.Void{}, err
			}
			var at [2]float64
			if err := json.Unmarshal(value, &at); err != nil {
				return chromedp.Void{}, err
			}
			if _, err := chromedp.MouseClickXY(at[0], at[1])(ctx, t); err != nil {
				return chromedp.Void{}, err
			}
			// The button is up again and the page has been told. Where it has another
			// document by now, the click has led there.
			heard, err := evaluate(ctx, t, `window.clickHeard ?? true`)
			if err != nil || string(heard) != "false" {
				break
			}
		}
		return chromedp.Void{}, nil
	}
}

// clicks is how often Click presses where the page hears of no click, because what was
// pressed moved away before the button was up.
const clicks = 3

// Focus waits for an element and puts the focus on it.
func Focus(selector string) Step {
	return waiting(selector+" has the focus", found(selector, `shown(e) && (e.focus(), document.activeElement === e)`))
}

// Type presses the keys of a text in an element.
func Type(selector, text string) Step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := Focus(selector)(ctx, t); err != nil {
			return chromedp.Void{}, err
		}
		return chromedp.KeyEvent(text)(ctx, t)
	}
}

// Fill puts a value into an element, in place of what it had.
func Fill(selector, value string) Step {
	quoted, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return waiting(selector+" can be filled", found(selector, `e && (e.value = `+string(quoted)+
		`, e.dispatchEvent(new Event("input", { bubbles: true })), e.dispatchEvent(new Event("change", { bubbles: true })), true)`))
}

// Submit sends the form that an element belongs to, as its script would, and waits until the
// page that answers is there, though it may look as the one before.
func Submit(selector string) Step {
	return replaced("there is another page after the form of "+selector, waiting(selector+" can be submitted",
		found(selector, `e && (HTMLFormElement.prototype.submit.call(e.form ?? e), true)`)))
}

// Text is what an element says to a reader.
func Text(selector string) chromedp.Action[string] {
	return reading(selector, `e.innerText`)
}

// Value is what is in a field.
func Value(selector string) chromedp.Action[string] {
	return reading(selector, `e.value`)
}

func reading(selector, expression string) chromedp.Action[string] {
	return func(ctx context.Context, t *chromedp.Target) (text string, err error) {
		value, err := wait(ctx, t, selector+" is visible", found(selector, `shown(e) ? `+expression+` : null`))
		if err != nil {
			return "", err
		}
		err = json.Unmarshal(value, &text)
		return text, err
	}
}

// found is an expression in which e is the first element of a selector.
func found(selector, expression string) string {
	quoted, err := json.Marshal(selector)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return `((e, shown) => ` + expression + `)(document.querySelector(` + string(quoted) + `),
		e => Boolean(e && (e.offsetWidth || e.offsetHeight || e.getClientRects().length)))`
}

func waiting(what, expression string) Step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := wait(ctx, t, what, expression)
		return chromedp.Void{}, err
	}
}

// wait asks until an expression is neither null nor false, and returns what it is then.
func wait(ctx context.Context, t *chromedp.Target, what, expression string) (value json.RawMessage, err error) {
	for {
		value, err = evaluate(ctx, t, expression)
		if errors.Is(err, errThrown) {
			return nil, fmt.Errorf("waiting until %s: %w", what, err)
		}
		if err == nil && string(value) != "null" && string(value) != "false" {
			return value, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting until %s: %w (%v)", what, ctx.Err(), err)
		case <-time.After(interval):
		}
	}
}

// evaluate runs an expression in whatever page the tab shows now. It fails where the page
// is replaced meanwhile.
func evaluate(ctx context.Context, t *chromedp.Target, expression string) (json.RawMessage, error) {
	yes := true
	answer, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: &yes})
	if err != nil {
		return nil, err
	}
	if thrown := answer.ExceptionDetails; thrown != nil {
		if thrown.Exception != nil {
			return nil, fmt.Errorf("%w: %s", errThrown, thrown.Exception.Description)
		}
		return nil, fmt.Errorf("%w: %s", errThrown, thrown.Text)
	}
	return json.RawMessage(answer.Result.Value), nil
}
