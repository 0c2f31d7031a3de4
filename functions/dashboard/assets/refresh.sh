#!/usr/bin/env bash
# Fetches the page's third-party file anew with npm: refresh.sh [echarts version].
# Then put the version and the digest that it prints into README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
echarts="${1:-6.1.0}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

npm pack --silent --pack-destination "$work" "echarts@$echarts" >/dev/null
tar -xzf "$work/echarts-$echarts.tgz" -C "$work" --strip-components 1

file=echarts.common.min.js
printf '%s  %s\n' "$(sha256sum <"$work/dist/$file" | cut -d ' ' -f 1)" "echarts/$file"
# Without name and time, so that the same file gives the same bytes.
gzip -9 -n <"$work/dist/$file" >"echarts/$file.gz"
cp "$work/"{LICENSE,NOTICE,licenses/LICENSE-d3} echarts/
