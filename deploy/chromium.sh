#!/bin/sh
# Sees that there is a browser for the browser tests. Prints what pytest must be told when there is none.
set -eu
find_one() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}
if find_one >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the browser tests …" >&2
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1; then
        find_one >/dev/null && exit 0
    fi
fi
if [ "${CI:-}" = true ]; then
    echo "Chromium is missing and could not be installed, and CI runs every test." >&2
    exit 1
fi
echo "NOT RUN: the browser tests, for there is no Chromium. Install Debian's package chromium to run them." >&2
echo "--ignore=tests/browser"
