# A menu: `make help` lists it. What is longer than three lines is in scripts/.

FUZZTIME ?= 2m

.PHONY: help build setup test golden fuzz bench lint verify demo

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## build bin/xfwc
	@go build -trimpath -o bin/xfwc ./cmd/xfwc

setup: ## install the real programs that tests use (root), or say what is missing
	@scripts/setup.sh

test: setup ## set up, then run every test; skips are listed at the end
	@scripts/test.sh

golden: ## rewrite every golden file from what the code gives now, then look at git diff
	XFWC_UPDATE=1 go test -count=1 ./...

fuzz: ## run every fuzz target; FUZZTIME=2m for parser, formatter and SARIF
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

bench: ## run the benchmarks and print their figures
	go test -run='^$$' -bench=. -benchmem ./...

lint: ## gofmt, go vet, staticcheck, sh -n
	@scripts/lint.sh

verify: ## everything that CI runs
	@.ci/run

demo: build ## set up, build, and try examples/office in throw-away namespaces
	@scripts/demo.sh
