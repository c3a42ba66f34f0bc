package shop_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func TestZZ(t *testing.T) {
	s := newStreet(t)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.Flag("disable-quic", true))
	for _, v := range []struct {
		name string
		w, h int64
		dark string
	}{{"desk-light", 1280, 900, "light"}, {"desk-dark", 1280, 900, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}} {
		actx, cancel := chromedp.NewExecAllocator(context.Background(), append(opts, chromedp.WindowSize(int(v.w), int(v.h)))...)
		ctx, c2 := chromedp.NewContext(actx)
		chromedp.Do(ctx)
		do := func(a ...chromedp.Action[chromedp.Void]) {
			tctx, cc := context.WithTimeout(ctx, 8*time.Second)
			defer cc()
			if err := chromedp.Do(tctx, a...); err != nil {
				b, _ := chromedp.Run(ctx, chromedp.FullScreenshot(90))
				os.WriteFile("/tmp/shopshots/fail.png", b, 0o644)
				t.Fatal(err)
			}
		}
		shot := func(n string) {
			time.Sleep(300 * time.Millisecond)
			b, err := chromedp.Run(ctx, chromedp.FullScreenshot(90))
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile("/tmp/shopshots/"+n+"-"+v.name+".png", b, 0o644)
		}
		do(chromedp.EmulateViewport(v.w, v.h, chromedp.EmulateScale(1)))
		media := func(ctx context.Context, tt *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, tt, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.dark}}})
			return chromedp.Void{}, err
		}
		do(media)
		do(chromedp.Navigate(s.shop.URL))
		shot("1front")
		do(chromedp.Click("#sign-in"), chromedp.WaitVisible("#sign-out"),
			chromedp.Click("button[value=key]"), chromedp.WaitVisible("#buy"), chromedp.Click("button[value=lantern]"), chromedp.WaitVisible("#buy"))
		shot("2cart")
		do(chromedp.Click("#buy"), chromedp.WaitVisible("#receipt"))
		shot("3receipt")
		do(chromedp.Click("#sign-out"), chromedp.WaitVisible("#sign-in"), chromedp.Navigate(s.shop.URL+"/nowhere"))
		shot("4message")
		c2()
		cancel()
	}
}
