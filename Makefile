# The verbs of daily work. `make` alone prints them.

GO      ?= go
LISTEN  ?= 127.0.0.1:5000
DATA    ?= ./data
RIVALS  := $(CURDIR)/bin/rivals
BENCH   ?=
SOAK    ?=
CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
LINTER  := $(CACHE)/tare-lint/v2.15.0/golangci-lint
DYNOXIDE_VERSION  := 3.2.0
VERSITYGW_VERSION := 1.8.0
DYNOXIDE  := $(CACHE)/tare-standins/dynoxide-$(DYNOXIDE_VERSION)/bin/dynoxide
VERSITYGW := $(CACHE)/tare-standins/versitygw-$(VERSITYGW_VERSION)/versitygw
STANDINS  := TARE_DYNOXIDE=$(DYNOXIDE) TARE_VERSITYGW=$(VERSITYGW)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The race detector needs a C compiler. CI has one; a laptop without one still runs every test.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: help
help: ## print this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: tare lambda ## build bin/tare, and the functions of AWS in bin/lambda

.PHONY: tare
tare:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/tare ./cmd/tare

# No stamp of a commit or a build is in a function: its bytes, and so the deploy of it, change with its code alone.
DOORS       := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))
BUILD_DOOR   = CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags "-s -w -buildid="

.PHONY: lambda
lambda: $(DOORS:%=bin/lambda/%.zip)

.PHONY: FORCE
bin/lambda/%.zip: FORCE
	$(BUILD_DOOR) -o bin/lambda/$*/bootstrap ./functions/$*
	$(GO) run ./functions/internal/pack zip $@ bin/lambda/$*/bootstrap

# What `sam build` asks for, by the logical ids of template.yaml.
.PHONY: build-Api build-Finalize build-Gc
build-Api:
	$(BUILD_DOOR) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/api
build-Finalize:
	$(BUILD_DOOR) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/finalize
build-Gc:
	$(BUILD_DOOR) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/gc

.PHONY: release
release: lambda ## make bin/release: a folder that sam deploys without Go and without make
	$(GO) run ./functions/internal/pack release bin/release template.yaml $(DOORS:%=bin/lambda/%.zip) samconfig.toml contrib/release/README.md LICENSE

.PHONY: run
run: tare ## build and start a registry on 127.0.0.1:5000 with its data in ./data
	bin/tare serve --listen $(LISTEN) --data $(DATA)

# A history runs one goroutine at a time, and so does each world of the crash suite: the race detector would find nothing
# in them and take five times as long, a quarter of an hour. What they run has it in the tests beside the code.
.PHONY: test
test: ## run the tests: Go alone, a few minutes
	$(GO) vet ./...
	$(GO) test $(RACE) -timeout 30m $$($(GO) list ./... | grep -vE '/test/(crash|histories)$$')
	$(GO) test -timeout 30m ./test/crash ./test/histories
	$(GO) -C test/bench vet ./...
	$(GO) -C test/bench test ./...
	$(GO) -C test/soak vet ./...
	$(GO) -C test/soak test ./...
	$(GO) -C test/template vet ./...
	$(GO) -C test/template test .

.PHONY: lint
lint: $(LINTER) ## check style and the arrows between the rooms
	test -z "$$(gofmt -l cmd functions internal test)"
	$(LINTER) run
	cd test/bench && $(LINTER) run
	cd test/cloud && $(LINTER) run
	cd test/e2e && $(LINTER) run
	cd test/integration && $(LINTER) run
	cd test/soak && $(LINTER) run
	cd test/template && $(LINTER) run

# Built once for each version, into the user's cache folder.
$(LINTER):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(notdir $(@D))

.PHONY: template
template: ## have sam, cfn-lint and parliament look at template.yaml, and see that they still find planted faults
	$(GO) -C test/template vet ./...
	tools=$$(test/template/tools.sh) && TARE_TEMPLATE_BIN=$$tools $(GO) -C test/template test -count=1 -timeout 20m ./...

.PHONY: conformance
conformance: tare ## run our suite against bin/tare, and the official ones where TARE_SPEC_SUITES names their programs
	test/conformance/run.sh

.PHONY: e2e
e2e: tare ## install the clients that people use and drive them against bin/tare; RUN=regexp picks tests
	test/e2e/install.sh
	$(GO) -C test/e2e vet ./...
	$(GO) -C test/e2e test -count=1 -timeout 40m -run '$(RUN)' ./...

# The ledger's own tests, some crashes and histories, and the cost of a sweep, with their rows in DynamoDB.
CRASHES := push_an_image|move_a_tag|mount

.PHONY: integration
integration: standins ## run the stores and the ledger against dynoxide and versitygw; RUN=regexp picks tests
	$(GO) -C test/integration vet ./...
	$(STANDINS) $(GO) -C test/integration test -count=1 -timeout 30m -run '$(RUN)' ./...
	$(if $(RUN),,$(STANDINS) $(GO) test -count=1 -timeout 20m ./internal/refcount -skip 'Fsck|ManyTags' -dynamodb)
	$(if $(RUN),,$(STANDINS) $(GO) test -count=1 -timeout 20m ./test/crash -run 'TestCrashAtEveryCall/($(CRASHES))$$' -dynamodb)
	$(if $(RUN),,$(STANDINS) $(GO) test -count=1 -timeout 20m ./test/histories -run 'TestDistantTable$$' -seeds 40 -dynamodb)
	$(if $(RUN),,$(STANDINS) $(GO) test -count=1 -timeout 20m ./test/sweep -run TestCost -dynamodb)

# AWS=-yes does not ask.
.PHONY: integration-aws
integration-aws: ## run the same in an account of AWS, or at endpoints (docs/testing.md); it says what it costs, and asks
	$(GO) -C test/integration test -c -o $(CURDIR)/bin/integration-aws/tests .
	$(GO) -C test/integration build -o $(CURDIR)/bin/integration-aws/run ./aws
	cd test/integration && $(STANDINS) $(CURDIR)/bin/integration-aws/run $(AWS) $(CURDIR)/bin/integration-aws/tests -test.run '$(RUN)' \
	  -test.skip 'Standins|Dynoxide' -test.timeout 1h

# The cloud on this machine: the functions built as they are for Lambda, but for this machine, and the template expanded.
CLOUD ?=
RUN_CLOUD = $(CURDIR)/bin/cloud/cloud -dynoxide $(DYNOXIDE) -versitygw $(VERSITYGW) -template $(CURDIR)/bin/cloud/template.json -functions $(CURDIR)/bin/cloud

.PHONY: cloud-parts
cloud-parts: standins
	for name in api finalize gc; do CGO_ENABLED=0 $(GO) build -trimpath -tags lambda.norpc -ldflags "-s -w -buildid=" \
	  -o bin/cloud/$$name/bootstrap ./functions/$$name || exit 1; done
	$$(test/template/tools.sh)/python test/template/expand.py template.yaml bin/cloud/template.json
	$(GO) -C test/cloud build -o $(CURDIR)/bin/cloud/cloud .

.PHONY: cloud
cloud: cloud-parts ## start the cloud of template.yaml here, without Docker and without an account, on 127.0.0.1:5000; CLOUD='-overlap 20ms'
	$(RUN_CLOUD) -listen $(LISTEN) $(CLOUD)

.PHONY: conformance-cloud
conformance-cloud: cloud-parts ## run the emulation's tests, a history, our suite, and the official ones as above, against the cloud on this machine
	$(GO) -C test/cloud vet ./...
	$(STANDINS) TARE_CLOUD=$(CURDIR)/bin/cloud $(GO) -C test/cloud test -count=1 -timeout 20m -skip TestOracle ./...
	$(RUN_CLOUD) -interval 2s -report -log bin/cloud/conformance.log $(CLOUD) test/conformance/run.sh

.PHONY: histories-cloud
histories-cloud: cloud-parts ## run SEEDS (10) seeds of histories over HTTP against the cloud on this machine, from FIRST (1) on
	$(STANDINS) TARE_CLOUD=$(CURDIR)/bin/cloud $(GO) -C test/cloud test -count=1 -timeout 0 -v -run TestHistory ./histories \
	  -seeds $(or $(SEEDS),10) -first $(or $(FIRST),1)

# A function takes 4.7 MB of binary in a request.
SERVE_CLOUD = $(RUN_CLOUD) -listen {addr} -data {data} -user pusher -credential {credential} \
  [-anonymous-pull={anonymous}] [-tls-ca {ca} -tls-cert {cert} -tls-key {key}] -log - $(CLOUD)

.PHONY: e2e-cloud
e2e-cloud: cloud-parts ## drive real clients against the cloud on this machine, within a function's limit; RUN=regexp picks tests
	test/e2e/install.sh
	$(GO) -C test/e2e vet ./...
	TARE_E2E_LIMIT=4700000 TARE_E2E_SERVE='$(SERVE_CLOUD)' $(GO) -C test/e2e test -count=1 -timeout 40m -run '$(RUN)' ./...

# The simulator is a program beside ours: it is installed into the cache folder, and never linked nor kept here.
IAM_ORACLE := $(CACHE)/tare-oracle/iam-simulate-0.1.173

.PHONY: cloud-oracle
cloud-oracle: ## compare our reading of IAM policies with an independent simulator; needs node
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(IAM_ORACLE)/node_modules; \
	elif [ -n "$$CI" ]; then echo "node and npm are missing" >&2; exit 1; else echo "node and npm are missing: skipped"; fi
	@if [ -d $(IAM_ORACLE)/node_modules ]; then TARE_IAM_ORACLE=$(IAM_ORACLE) $(GO) -C test/cloud test -count=1 -run Oracle -v ./policy; fi

$(IAM_ORACLE)/node_modules:
	mkdir -p $(IAM_ORACLE)
	npm install --prefix $(IAM_ORACLE) --no-audit --no-fund --ignore-scripts @cloud-copilot/iam-simulate@0.1.173

.PHONY: standins
standins: $(DYNOXIDE) $(VERSITYGW) ## install what stands in for AWS: dynoxide (with cargo) and versitygw

# Built once for each version, into the user's cache folder.
$(DYNOXIDE):
	@command -v cargo >/dev/null || { echo "dynoxide, which stands in for DynamoDB, is built by Rust's cargo (1.88 or later), which is not there"; exit 1; }
	cargo install dynoxide-rs --version $(DYNOXIDE_VERSION) --locked --no-default-features --features native-sqlite,http-server,cli --root $(@D)/..

$(VERSITYGW):
	GOBIN=$(@D) $(GO) install github.com/versity/versitygw/cmd/versitygw@v$(VERSITYGW_VERSION)

.PHONY: soak
soak: tare ## kill bin/tare under load, cut its power, fill and break its disk, and look for losses; SOAK='-short -seed 7'
	$(GO) -C test/soak run . -tare $(CURDIR)/bin/tare $(SOAK)

.PHONY: bench
bench: ## measure both, one after the other: bench-machine and bench-cloud; BENCH='-short' for a look
	$(MAKE) bench-machine
	$(MAKE) bench-cloud

.PHONY: bench-machine
bench-machine: tare $(RIVALS)/registry $(RIVALS)/olareg ## measure bin/tare beside other registries; BENCH='-short -run reads'
	$(GO) -C test/bench run . -tare $(CURDIR)/bin/tare -distribution $(RIVALS)/registry -olareg $(RIVALS)/olareg $(BENCH)
	$(GO) test -run '^$$' -bench Collect -benchtime 21x -timeout 60m $(filter -short,$(BENCH)) ./test/sweep

.PHONY: bench-cloud
bench-cloud: cloud-parts lambda $(RIVALS)/registry ## measure the cloud on this machine: cold starts, images, contention, large layers; BENCH='-short -run small'
	$(GO) -C test/cloud run ./bench -dynoxide $(DYNOXIDE) -versitygw $(VERSITYGW) -template $(CURDIR)/bin/cloud/template.json \
	  -functions $(CURDIR)/bin/cloud -zips $(CURDIR)/bin/lambda -distribution $(RIVALS)/registry $(BENCH)
	$(if $(findstring -run,$(BENCH)),,$(STANDINS) $(GO) test -run '^$$' -bench Collect -benchtime 11x -timeout 60m \
	  $(filter -short,$(BENCH)) ./test/sweep -dynamodb)

$(RIVALS)/registry: test/bench/rivals/distribution/go.mod
	GOBIN=$(RIVALS) $(GO) -C test/bench/rivals/distribution install tool

$(RIVALS)/olareg: test/bench/rivals/olareg/go.mod
	GOBIN=$(RIVALS) $(GO) -C test/bench/rivals/olareg install tool

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd functions internal | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go | awk '{print $$2}'); do \
	    echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-10s} -fuzzminimizetime 100x ./$$dir; done; done

.PHONY: histories
histories: ## run SEEDS (100000) seeds of concurrent histories from FIRST (1) on, and a tenth as many of sequential ones
	$(GO) test -count=1 -timeout 0 -v -run 'TestConcurrent$$|TestSequential$$|TestSequentialOnDisk$$' ./test/histories -seeds $(or $(SEEDS),100000) -first $(or $(FIRST),1)

.PHONY: mutations
mutations: ## break the code on purpose, and print which test finds out; MUTATION=regexp picks faults
	$(GO) run ./test/mutation -run '$(MUTATION)'

.PHONY: cost
cost: ## write docs/cost.md anew from the golden traces, the template and the table of prices
	mkdir -p bin
	$(GO) run ./test/cost > bin/cost.md
	mv bin/cost.md docs/cost.md

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
