# make test on a bare Debian with Go installs what it needs; see CONTRIBUTING.md.
.DEFAULT_GOAL := build

.PHONY: build run test lint bench reference screenshots release

build: ## one static binary, bin/ostiary
	CGO_ENABLED=0 go build -trimpath -o bin/ostiary ./cmd/ostiary

run: ## the server with sample applications and test users
	go run ./cmd/ostiary demo

test: ## every test, on SQLite and on a PostgreSQL of its own
	scripts/test

lint: ## gofmt, vet, staticcheck, the import table, a build for every platform
	scripts/lint

bench: ## the cost of each request and of the database
	scripts/bench

reference: ## docs/reference, made from the source anew
	go test -count=1 -run '^TestReference$$' ./cmd/ostiary -update

screenshots: ## docs/images, photographed anew in a real browser
	scripts/test -count=1 -run '^TestScreenshots$$' ./cmd/ostiary -update

release: ## dist/: the program for every platform, with the version in it
	scripts/release
