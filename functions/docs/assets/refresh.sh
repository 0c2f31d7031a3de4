#!/usr/bin/env bash
# Fetches the pages' third-party files anew with npm: refresh.sh [swagger-ui-dist version] [redoc version].
# Then put the versions and the digests that it prints into README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
swagger_ui="${1:-5.35.0}" redoc="${2:-2.5.4}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

fetch() {
    npm pack --silent --pack-destination "$work" "$1@$2" >/dev/null
    mkdir "$work/$1"
    tar -xzf "$work/$1-$2.tgz" -C "$work/$1" --strip-components 1
}

# Without name and time, so that the same file gives the same bytes.
pack() {
    printf '%s  %s\n' "$(sha256sum <"$1" | cut -d ' ' -f 1)" "$2"
    gzip -9 -n <"$1" >"$2.gz"
}

fetch swagger-ui-dist "$swagger_ui"
fetch redoc "$redoc"
bundle="$work/redoc/bundles/redoc.standalone.js"
# The one thing that it would load from another host, a logo. Without an image it shows none.
logo='https://cdn.redoc.ly/redoc/logo-mini.svg'
[[ "$(grep -o "$logo" "$bundle" | wc -l)" == 1 ]] || { echo "redoc $redoc no longer loads $logo once: look at it" >&2 && exit 1; }
sed -i "s#$logo#data:,#" "$bundle"

pack "$work/swagger-ui-dist/swagger-ui.css" swagger-ui/swagger-ui.css
pack "$work/swagger-ui-dist/swagger-ui-bundle.js" swagger-ui/swagger-ui-bundle.js
pack "$bundle" redoc/redoc.standalone.js
cp "$work/swagger-ui-dist/"{LICENSE,NOTICE,swagger-ui-bundle.js.LICENSE.txt} swagger-ui/
cp "$work/redoc/"{LICENSE,bundles/redoc.standalone.js.LICENSE.txt} redoc/
