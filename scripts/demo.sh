#!/bin/sh
# Tries the office example in throw-away network namespaces: nothing of this
# machine is read or changed.
set -eu
cd "$(dirname "$0")/.."
exec bin/xfwc try examples/office/policy.xfw
