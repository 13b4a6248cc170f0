#!/usr/bin/env bash
# Installs the system packages that Rushes needs, where they are missing. Says in one line what to run where it cannot.
#
#   scripts/packages.sh          what building and running need
#   scripts/packages.sh tests    also what the tests read back results with
set -euo pipefail

want=(build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav gstreamer1.0-tools libvpx-dev
    meson ninja-build cmake nasm xxd)
if [ "${1:-}" = tests ]; then
    want+=(ffmpeg python3 gstreamer1.0-plugins-base-apps util-linux)
    # Browsers' players of streaming sets; a browser and npm that came from elsewhere do as well.
    command -v chromium >/dev/null || want+=(chromium)
    command -v npm >/dev/null || want+=(npm)
fi

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${want[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
elif ! pkg-config --exists gstreamer-1.0 gstreamer-app-1.0 vpx 2>/dev/null; then
    echo "rushes: this is no Debian or Ubuntu; install GStreamer 1.22 or newer and libvpx 1.10 or newer with their development files, and the good, bad, ugly and libav plugins" >&2
    exit 1
else
    # libvmaf and libaom are built with these.
    for program in meson ninja cmake xxd; do
        command -v "$program" >/dev/null || { echo "rushes: this is no Debian or Ubuntu; install $program" >&2; exit 1; }
    done
    if [ "$(uname -m)" = x86_64 ] && ! command -v nasm >/dev/null; then
        echo "rushes: this is no Debian or Ubuntu; install nasm 2.14 or newer" >&2
        exit 1
    fi
fi

if [ ${#missing[@]} -gt 0 ]; then
    install=(apt-get install -y --no-install-recommends "${missing[@]}")
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=(sudo)
    else
        echo "rushes: packages are missing; run as root: apt-get update && ${install[*]}" >&2
        exit 1
    fi
    echo "rushes: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >/dev/null
fi

# rustup puts cargo here and tells only new shells.
export PATH="$PATH:$HOME/.cargo/bin"
if ! command -v cargo >/dev/null; then
    echo "rushes: Rust is missing; install Rust 1.95 or newer from https://rustup.rs, then run this again" >&2
    exit 1
fi
version=$(cargo --version | awk '{print $2}')
if [ "$(printf '1.95.0\n%s\n' "${version%%-*}" | sort -V | head -n 1)" != 1.95.0 ]; then
    echo "rushes: Rust $version is too old; run: rustup update stable (1.95 or newer)" >&2
    exit 1
fi
