#!/bin/sh
# gofmt, go vet, staticcheck and a syntax check of the shell scripts.
set -eu
cd "$(dirname "$0")/.."

badly=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$badly" ]; then
	echo 'lint: not formatted by gofmt:' >&2
	echo "$badly" >&2
	exit 1
fi
go vet ./...
go tool staticcheck ./...
for script in .ci/run scripts/*.sh; do
	bash -n "$script"
done
echo 'lint: clean'
