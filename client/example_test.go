package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"

	"github.com/ostiary/ostiary/client"
)

// A web application that signs people in.
func Example() {
	c, err := client.New(client.Config{
		Issuer: "https://id.example", ClientID: "app", ClientSecret: os.Getenv("CLIENT_SECRET"),
		RedirectURI: "https://app.example/callback", PostLogoutRedirectURI: "https://app.example/",
		Scopes:      []string{"openid", "profile"},
		SessionKeys: [][]byte{[]byte(os.Getenv("SESSION_KEY"))},
	})
	if err != nil {
		log.Print(err)
		return
	}
	http.Handle("GET /login", c.Login())
	http.Handle("GET /callback", c.Callback())
	http.Handle("POST /logout", c.Logout())
	http.Handle("GET /", c.RequireSignIn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s\n", client.SessionFrom(r.Context()).Profile.Name)
	})))
}

// A program on a person's own machine.
func ExampleClient_Loopback() {
	c, err := client.New(client.Config{
		Issuer: "https://id.example", ClientID: "desk", RedirectURI: "http://127.0.0.1/callback", Scopes: []string{"openid", "offline_access"},
	})
	if err != nil {
		log.Print(err)
		return
	}
	tokens, identity, err := c.Loopback(context.Background(), client.AuthOptions{}, func(address string) error {
		return exec.Command("xdg-open", address).Start()
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(identity.Subject, tokens) // keep tokens where only this person can read them
}

// A device without a browser.
func ExampleClient_Device() {
	c, err := client.New(client.Config{Issuer: "https://id.example", ClientID: "tv", Scopes: []string{"openid", "offline_access"}})
	if err != nil {
		log.Print(err)
		return
	}
	code, err := c.Device(context.Background(), client.DeviceOptions{})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("Open", code.VerificationURI, "and type", code.UserCode)
	tokens, identity, err := c.DeviceTokens(context.Background(), code)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(identity.Subject, tokens)
}

// A program that calls an API in its own name.
func ExampleClient_Credentials() {
	c, err := client.New(client.Config{Issuer: "https://id.example", ClientID: "job", ClientSecret: os.Getenv("CLIENT_SECRET")})
	if err != nil {
		log.Print(err)
		return
	}
	source := c.Credentials(nil, "reports:read")
	token, err := source.Token(context.Background())
	if err != nil {
		log.Print(err)
		return
	}
	req, err := http.NewRequest("GET", "https://api.example/reports", nil)
	if err != nil {
		log.Print(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
}
