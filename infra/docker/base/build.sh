#!/usr/bin/env bash
# Makes two small Debian images from the packages that this machine's own apt sources offer:
#
#   localhost/farthing-base:bookworm    runs: Python, its libraries and certificates; no shell, no apt, no pip
#   localhost/farthing-build:bookworm   builds: the same with pip, a shell and coreutils
#
#   infra/docker/base/build.sh [amd64|arm64]
#
# Needs root, mmdebstrap and buildah. Packages are unpacked and their scripts never run, so another
# processor's image needs no emulator. CONTAINERS_STORAGE_CONF says where images are kept; SUITE,
# SOURCES and NAME_SUFFIX choose another release, another sources file, other names.
set -euo pipefail

arch=${1:-$(dpkg --print-architecture)}
suite=${SUITE:-bookworm}
sources=${SOURCES:-/etc/apt/sources.list.d/debian.sources}
suffix=${NAME_SUFFIX:-}
# The date of every file and image, so that the same packages make the same layers.
epoch=${SOURCE_DATE_EPOCH:-315532800}

for tool in mmdebstrap buildah; do
  command -v "$tool" >/dev/null ||
    { echo "The base image needs $tool, which is not installed. Install the package $tool." >&2; exit 1; }
done
[[ -r $sources ]] ||
  { echo "There is no $sources to take packages from. Name your apt sources with SOURCES=FILE." >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Scripts never run, so what they would write is written here: the packages' status for scanners,
# users, groups, certificates.
mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" \
  --include=python3-venv,python3,ca-certificates,base-files,libstdc++6,media-types,dash,coreutils \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook='for deb in "$1"/var/cache/apt/archives/*.deb; do
      dpkg-deb --field "$deb" | sed "s/^Package:.*/&\nStatus: install ok installed/"; echo
    done >"$1/var/lib/dpkg/status"' \
  "$suite" "$root" "$sources"
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname
rm -rf "$root"/etc/apt "$root"/var/lib/apt "$root"/var/cache/* "$root"/var/log/* "$root"/dev/* "$root"/tmp/*
chmod 1777 "$root/tmp"
cat >"$root/etc/passwd" <<'X'
root:x:0:0:root:/root:/sbin/nologin
farthing:x:993:990:farthing:/tmp:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
X
printf 'root:x:0:\nfarthing:x:990:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

python=$(basename "$(readlink "$root/usr/bin/python3")")
library=$root/usr/lib/$python
# Never imported by a server: the interpreter's own editor, tests, converter and installer data.
rm -rf "$library"/{idlelib,lib2to3,pydoc_data,test,tkinter,turtledemo}
# Bytecode is the same on every processor; the interpreter that makes it must be of the same version.
compile() { "$@" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" -p / "$library"; }
if [[ $(dpkg --print-architecture) == "$arch" ]]; then
  chroot "$root" /usr/bin/python3 -m compileall -q --invalidation-mode unchecked-hash "/usr/lib/$python"
elif command -v "$python" >/dev/null; then
  compile "$python"
else
  echo "$python is not installed here, so the $arch image has no bytecode and starts slower." >&2
fi

# make_image NAME: the tree as it is now, as an image of one layer.
make_image() {
  local container
  find "$root" -newermt "@$epoch" -exec touch --no-dereference --date="@$epoch" {} +
  tar --create --file "$work/root.tar" --sort=name --numeric-owner --directory "$root" .
  container=$(buildah from --arch "$arch" scratch)
  buildah add --quiet "$container" "$work/root.tar" / >/dev/null
  buildah config --arch "$arch" --os linux --env PATH=/usr/bin:/bin --env LANG=C.UTF-8 --cmd python3 \
    --label org.opencontainers.image.title="$1" "$container"
  buildah commit --quiet --rm --timestamp "$epoch" "$container" "$1" >/dev/null
  echo "$1"
}

# What this machine trusts, the image that builds trusts; the one that runs trusts Debian's list.
mkdir -p "$root/etc/ssl/certs"
ln -sf /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
else
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
fi
make_image "localhost/farthing-build:$suite$suffix"

# All that is left to run is Python.
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
find "$root"/bin "$root"/sbin "$root"/usr/bin "$root"/usr/sbin -mindepth 1 \
  ! -name python3 ! -name "$python" -delete
rm -rf "$library/ensurepip" "$root"/usr/share/python-wheels "$root"/usr/libexec "$root"/usr/lib/{apt,dpkg,gcc,systemd,tmpfiles.d} \
  "$root"/usr/share/{perl5,ca-certificates,debconf,dpkg,locale,man,info,lintian,bug,gdb,gcc,python3,pixmaps,applications,bash-completion,binfmts,doc-base,polkit-1,readline} \
  "$root"/usr/lib/python3 "$root"/usr/lib/*/{gconv,perl,perl-base,krb5,engines-3,ossl-modules} "$root"/lib/systemd
# Libraries of the tools that just went, and the two modules that would need one.
rm -f "$library"/lib-dynload/{_dbm,nis}.*.so
rm -f "$root"/usr/lib/*/lib{db-5.3,pcre2-8,perl,krb5,krb5support,gssapi_krb5,k5crypto,apt,gmp}.so* \
  "$root"/lib/*/lib{selinux,acl,attr,keyutils,com_err}.so* "$root"/usr/lib/*/lib{acl,attr,zstd,com_err}.so*
make_image "localhost/farthing-base:$suite$suffix"
