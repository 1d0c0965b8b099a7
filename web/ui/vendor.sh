#!/bin/sh
# Fetches the vendored modules from their npm packages and checks them. Needs npm.
set -eu
cd "$(dirname "$0")/vendor"

htm_version=3.1.1
preact_version=10.5.12
module_sha256=72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "htm@$htm_version" "preact@$preact_version" >/dev/null)
mkdir "$work/htm" "$work/preact"
tar -xzf "$work/htm-$htm_version.tgz" -C "$work/htm" --strip-components=1
tar -xzf "$work/preact-$preact_version.tgz" -C "$work/preact" --strip-components=1

echo "$module_sha256  $work/htm/preact/standalone.module.js" | sha256sum -c - >/dev/null
cp "$work/htm/preact/standalone.module.js" htm-preact.module.js
cp "$work/htm/LICENSE" LICENSE.htm
cp "$work/preact/LICENSE" LICENSE.preact
echo "vendored htm $htm_version"
