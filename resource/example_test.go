package resource_test

import (
	"fmt"
	"log"
	"net/http"
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
