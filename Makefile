# make demo     the main job on a real clip: a farm on this machine, one encode, what came out
# make install  builds and puts the programs into PREFIX/bin (default /usr/local)
# make test     all tests
# make verify   what CI runs: formatting, lints, all tests; changes nothing
# make fix      formats, applies what clippy can
# make bench    every benchmark; tables here, rows in target/bench
# make bench-sim  the scheduler on virtual time: deadlines, classes, scale; table here, rows in target/bench/sim.json
# make soak     the long tests: 1,000 kills, many seeds
# make fuzz-media  2,000 mutated files through a farm; no worker may be lost
# make coverage  lines of the engine that tests run; installs cargo-llvm-cov where it is missing
# make audit    licences, bans, advisories (needs cargo-deny)

INPUT ?= tests/media/bigbuckbunny.mp4
OUT ?= out
export PATH := $(PATH):$(HOME)/.cargo/bin
export RUSHES_COMMIT := $(shell git describe --always --dirty --abbrev=12 2>/dev/null)

.PHONY: demo build install test verify fix bench bench-sim soak fuzz-media coverage audit packages test-packages

demo: packages
	@echo "demo: building; the first time this takes some minutes"
	@cargo build --release --bins
	@scripts/demo.sh "$(INPUT)" "$(OUT)" target/release

# Where `make install` puts the programs: PREFIX/bin.
PREFIX ?= /usr/local
install: build
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 target/release/rushes target/release/rushes-coordinator target/release/rushes-worker "$(DESTDIR)$(PREFIX)/bin"

build: packages
	cargo build --release --bins

test: test-packages
	scripts/test.sh

verify: test-packages
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	scripts/test.sh

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged --quiet
	cargo fmt --all

bench: test-packages
	cargo build --release --bins --quiet
	cargo bench -p rushes-tests
	cargo bench -p rushes-core --bench engine
	cargo bench -p rushes-sim --bench sim

bench-sim:
	cargo bench -p rushes-sim --bench sim

soak: test-packages
	RUSHES_SOAK=1 KILLS=1000 POWERCUT_IMAGES=2000 NEXTEST_PROFILE=soak scripts/test.sh

fuzz-media: test-packages
	cargo build --workspace --bins --examples --quiet
	RUSHES_FUZZ=$${RUSHES_FUZZ:-2000} cargo test -p rushes-tests --test fuzz_media -- --nocapture

coverage:
	@cargo llvm-cov --version >/dev/null 2>&1 || cargo install cargo-llvm-cov --locked
	@rustup component list --installed | grep -q llvm-tools || rustup component add llvm-tools-preview
	cargo llvm-cov -p rushes-core -p rushes-sim --tests --lib --ignore-filename-regex '^$(CURDIR)/(shared|tests)/' --fail-under-lines 95

audit:
	cargo deny check bans licenses sources
	cargo deny check advisories || echo "audit: advisories could not be checked or were found; see above"

packages:
	@scripts/packages.sh

test-packages:
	@scripts/packages.sh tests
