# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A Debian 13 in a folder, for tools that are newer than those of this machine. Needs root, and debootstrap to make it.
# The variable TRIXIE may name a folder where it is, or where it is made and kept for later.

# debian13_make FOLDER PACKAGE...: install Debian 13 into FOLDER, or add packages to the one that is there.
debian13_make() {
    local folder=$1
    shift
    if [ ! -e "$folder/etc/debian_version" ]; then
        debootstrap --variant=minbase --include=ca-certificates trixie "$folder" \
            "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$folder.log" 2>&1 || return
        cp /etc/apt/apt.conf.d/*proxy* "$folder/etc/apt/apt.conf.d/" 2>/dev/null || true # the machine's, if it has one
    fi
    # shellcheck disable=SC2016 # dpkg-query expands it
    if [ "$(dpkg-query --admindir "$folder/var/lib/dpkg" -W -f '${db:Status-Status}\n' "$@" 2>/dev/null |
        grep -cx installed)" = $# ]; then
        return 0
    fi
    chroot "$folder" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$@"' sh "$@" >>"$folder.log" 2>&1
}

# debian13_run FOLDER WORK COMMAND...: run the command there, in /test, which is the folder WORK, in a mount namespace
# of its own in which the root folder is a mount point, as podman needs it. COMMAND may begin with variables, as for
# env. This machine is in /host: `chroot /host PROGRAM` runs a program of it.
debian13_run() {
    local folder=$1 work=$2
    shift 2
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare -m bash -ec '
        folder=$1 work=$2
        shift 2
        mount --make-rprivate /
        mkdir -p "$folder/test" "$folder/host"
        mount --bind "$folder" "$folder"
        mount --rbind / "$folder/host"
        mount -t proc proc "$folder/proc"
        mount --rbind /sys "$folder/sys"
        mount --rbind /dev "$folder/dev"
        mount --bind "$work" "$folder/test"
        exec chroot "$folder" env -i -C /test HOME=/root LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
        ' sh "$folder" "$work" "$@"
}
