#!/usr/bin/env bash
# Makes a Python environment with the client of TensorFlow Serving (tensorflow-serving-api) at $1, and
# prints its interpreter: for the tests in interfaces/foreign.rs, which take it in FOREIGN_PYTHON.
#
# The package wants all of TensorFlow, of which it uses a few generated messages: these are generated
# here from the files in proto/, so that some 15 MB are downloaded, and not some 300.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../../proto
mkdir -p "$1"
place=$(cd "$1" && pwd)
python3 -m venv "$place" >&2
"$place/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    -r "$here/foreign-requirements.txt" >&2
site=$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
(cd "$proto" && "$place/bin/python" -m grpc_tools.protoc -I. --python_out="$site" \
    $(find tensorflow xla -name '*.proto')) >&2
echo "$place/bin/python"
