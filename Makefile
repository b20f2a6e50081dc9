# cfs: every job a person or CI does here. `make help` lists them.
SHELL := /bin/bash
GO ?= $(shell ./.ci/go-path)
export CGO_ENABLED := 0

PREFIX      ?= /usr/local
VERSION     ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS     := -s -w -X main.version=$(VERSION)
FUZZTIME    ?= 20s
RUNS        ?= 7
BENCHFLAGS  ?= --workload quick

.DEFAULT_GOAL := help
.PHONY: help deps build demo test unit vm lint fuzz bench-union bench-packed bench-index bench-run bench-build bench-layers bench-images bench-drivers bench-page bench-vm bench-agree man install clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what building and testing need (apt, Go; asks sudo when not root)
	@./.ci/setup

build: ## build bin/cfs, one static binary
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/cfs ./cmd/cfs

demo: deps ## set up, build, run cfs/hello and a Debian root as an ordinary user
	@$(MAKE) --no-print-directory build
	@./.ci/demo

test: lint unit ## lint, then every test; ends with passed, failed and skipped counts

unit: build
	CFS_TRANSPORT=gofuse $(GO) test -count=1 ./unionfs  # on the reference transport
	CFS_TEST_PASSTHROUGH=1 $(GO) test -count=1 -run 'Conformance|Partial|Metacopy|ACL' ./unionfs  # files passed through
	$(GO) test -count=1 -tags man -run '^TestManPages$$' ./cmd/cfs
	$(GO) run ./internal/testcount -- $(GO) test -json -timeout 15m ./...
	$(GO) run ./internal/testcount -- $(GO) -C internal/suites test -json -timeout 15m ./...  # others' suites, of the drivers

vm: ## tests on Debian's kernel in QEMU: project quotas, devicemapper, overlayfs before 6.5, cgroup v2, AppArmor, systemd (minutes; needs qemu-system-x86)
	@./.ci/vm './kernel-drivers/overlay2:^TestConformance$$|Limit|OldWay' './kernel-drivers/btrfs:^TestConformance$$|Limit|Chang' \
	  './kernel-drivers/vfs:^TestConformance$$' './kernel-drivers/erofs:.' './kernel-drivers/devicemapper:.' './runtime/cgroup:.' './runtime/oci:AppArmor|Cgroup|MountOption|Remount' \
	  './cmd/cfs:^TestScripts$$/^driver_devicemapper$$'
	@./.ci/vm-systemd

lint: ## gofmt, vet, staticcheck, import order
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not gofmt-ed:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet -tags man,zfs,systemd,vm ./...
	$(GO) -C internal/suites vet ./...
	$(GO) run $(STATICCHECK) -tags man,zfs,systemd,vm ./...
	$(GO) test ./internal/importorder

fuzz: ## run every fuzz target for FUZZTIME (default 20s)
	@$(GO) list ./... | while read -r p; do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

bench-union: build ## union of directories against the kernel's overlay, row by row (root; RUNS=7)
	$(GO) run ./bench/cmd/bench-union -runs $(RUNS)

bench-packed: ## union over a packed Debian root against the kernel's overlay (root)
	$(GO) run ./bench/cmd/bench-packed -runs $(RUNS)

bench-index: ## packing a layer against decompressing and hashing alone
	$(GO) run ./bench/cmd/bench-index -runs $(RUNS)

bench-layers: build ## an image of 50,000 files in, changes out, against podman, umoci and pgzip (root)
	$(GO) run ./bench/cmd/bench-layers -runs $(RUNS)

bench-images: build ## image commands against podman and skopeo, with a registry (root)
	$(GO) run ./bench/cmd/bench-images -runs $(RUNS)

bench-drivers: build ## cfs bench: every driver that works here, with a page in cfs-bench/
	bin/cfs bench

bench-page: build ## the README's picture of a report, and its figures, made anew (root, on a quiet host; needs chromium)
	bin/cfs bench $(BENCHFLAGS) --out cfs-bench
	cp cfs-bench/report.json bench/page/testdata/report.json
	$(GO) run ./bench/cmd/bench-page -report cfs-bench/report.json -png bench/page/testdata/report.png

bench-agree: build ## the harness against fio and hyperfine on the same mounts (root; two minutes)
	$(GO) run ./bench/cmd/bench-agree -runs $(RUNS)

bench-vm: ## cfs bench on Debian's kernel in QEMU, for what this one lacks: devicemapper; its page in cfs-bench-vm/ (10 minutes; needs qemu-system-x86)
	@OUT=cfs-bench-vm ./.ci/vm 'cfs:--root /mnt/cfs bench --driver union,overlay2,vfs,devicemapper --workload quick --size tiny --depth 1,10 --time 10m --out /mnt/out'

bench-build: build ## builds anew and cached against buildah (root)
	$(GO) run ./bench/cmd/bench-build -runs $(RUNS)

bench-run: build ## run, exec, ps and memory of containers against podman, crun and runc (root)
	$(GO) run ./bench/cmd/bench-run -runs $(RUNS)

man: ## man pages into out/man
	$(GO) run -tags man -ldflags '$(LDFLAGS)' ./cmd/cfs man out/man

install: build man ## install the binary and the man pages below PREFIX
	install -D -m 755 bin/cfs $(DESTDIR)$(PREFIX)/bin/cfs
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 out/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/

clean: ## remove what was built
	rm -rf bin out
