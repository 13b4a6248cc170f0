#!/usr/bin/env bash
# All tests. With cargo-nextest where it is installed (a process per test, JUnit report), with cargo test elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --workspace --bins --examples --quiet
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --profile "${NEXTEST_PROFILE:-default}"
else
    echo "test: cargo-nextest is not installed; using cargo test"
    cargo test --workspace --quiet
fi
