package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// bench is a browser that shows the token debugger.
type bench struct {
	*browser
	address  string
	mu       sync.Mutex
	complain []string // errors in the console
}

// startDebugger runs the command "debugger" until the test ends.
func startDebugger(t *testing.T) string {
	t.Helper()
	return start[struct{ Debugger string }](t, "debugger").Debugger
}

func openBench(t *testing.T, address string, further ...chromedp.ExecAllocatorOption) *bench {
	t.Helper()
	b := &bench{browser: openBrowser(t, further...), address: address}
	err := chromedp.Listen(b.ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				b.complain = append(b.complain, e.Entry.Text+" "+e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			b.complain = append(b.complain, quoted(e.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.show()
	return b
}

// show opens the page anew.
func (b *bench) show() {
	b.t.Helper()
	b.do("opening the debugger", browsertest.Visit("about:blank"), browsertest.Visit(b.address), browsertest.Visible(`#bench`))
}

// quiet fails on what the browser complained about since the last call, above
// all violations of the policy.
func (b *bench) quiet() {
	b.t.Helper()
	if all := b.complaints(); len(all) > 0 {
		b.t.Errorf("the browser complains: %s", strings.Join(all, "\n"))
	}
}

func (b *bench) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.complain
	b.complain = nil
	return all
}

// put types into a field, all at once.
func (b *bench) put(id, value string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`(() => {
		const field = document.getElementById(%q)
		field.value = %s
		field.dispatchEvent(new Event('input', { bubbles: true }))
		field.dispatchEvent(new Event('change', { bubbles: true }))
	})()`, id, quoted(value)))
}

func (b *bench) eval(script string) {
	b.t.Helper()
	b.do("evaluating", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[any](script, chromedp.EvalAwaitPromise))
		return err
	}))
}

func (b *bench) click(id string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`document.getElementById(%q).click()`, id))
}

// key chooses a kind of key and gives it.
func (b *bench) key(kind, value string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`document.querySelector('[name=kind][value=%s]').click()`, kind))
	b.put(kind, value)
}

func (b *bench) value(id string) string {
	b.t.Helper()
	return ask(b.browser, "reading "+id, chromedp.Evaluate[string](fmt.Sprintf(`document.getElementById(%q).value`, id)))
}

// verdict waits until the page says so about the token.
func (b *bench) verdict(state, text string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("the verdict %s %q", state, text), fmt.Sprintf(
		`(box => box.dataset.state === %q && box.textContent.includes(%q))(document.getElementById('verdict'))`, state, text))
}

func quoted(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings and what the browser sent
	}
	return string(text)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
