package resource_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/ostiary/ostiary/resource"
)

// An API in ten lines: the keys of the issuer are found when the first token
// arrives.
func Example() {
	guard, err := resource.New(resource.Config{Issuer: "https://id.example", Audience: "https://api.example"})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("GET /orders", guard.RequireFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "orders of %s\n", resource.Token(r.Context()).Subject)
	}, "orders:read"))
	http.Handle(guard.MetadataPath(), guard.Metadata())
}

// A route that wants a sign-in of the last five minutes.
func ExampleGuard_RequireAuthentication() {
	guard, err := resource.New(resource.Config{Issuer: "https://id.example", Audience: "https://api.example"})
	if err != nil {
		log.Fatal(err)
	}
	pay := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	fresh := guard.RequireAuthentication(resource.Authentication{MaxAge: 5 * time.Minute})
	http.Handle("POST /payments", guard.Require("payments:write")(fresh(pay)))
}

// An API that knows at once who was put out, with another policy for a route that
// may go on while nobody knows.
func ExampleFeed() {
	feed, err := resource.NewFeed(resource.FeedConfig{
		Issuer: "https://id.example", ClientID: "orders-api", ClientSecret: os.Getenv("API_SECRET"),
		OnState: func(s resource.FeedState) { log.Printf("feed: stale=%v lag=%v %v", s.Stale, s.Lag, s.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	go feed.Run(context.Background())

	guard, err := resource.New(resource.Config{Issuer: "https://id.example", Audience: "https://api.example", Feed: feed})
	if err != nil {
		log.Fatal(err)
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	http.Handle("POST /orders", guard.Require("orders:write")(orders))
	http.Handle("GET /news", guard.Stale(resource.Allow).Require()(orders))
	http.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { feed.WriteMetrics(w) })
}

// Tokens of two issuers, each with its feed.
func ExampleWriteMetrics() {
	var feeds []*resource.Feed
	for _, issuer := range []string{"https://id.example", "https://partner.example"} {
		feed, err := resource.NewFeed(resource.FeedConfig{Issuer: issuer, ClientID: "orders-api", ClientSecret: os.Getenv("API_SECRET")})
		if err != nil {
			log.Fatal(err)
		}
		go feed.Run(context.Background())
		feeds = append(feeds, feed)
	}
	guard, err := resource.New(resource.Config{
		Issuer: "https://id.example", Audience: "https://api.example", Feed: feeds[0],
		Others: []resource.Issuer{{URL: "https://partner.example", Feed: feeds[1]}},
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("GET /orders", guard.RequireFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	http.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { resource.WriteMetrics(w, feeds...) })
}

// A rule of the API itself says no: the token is good, and no other would help.
func ExampleForbid() {
	guard, err := resource.New(resource.Config{Issuer: "https://id.example", Audience: "https://api.example"})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("DELETE /orders/{id}", guard.RequireFunc(func(w http.ResponseWriter, r *http.Request) {
		resource.Forbid(w, resource.Problem{Title: "Shipped already", Detail: "An order that was shipped cannot be cancelled."})
	}, "orders:write"))
}
