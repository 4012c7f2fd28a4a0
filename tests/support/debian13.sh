# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A Debian 13 in a folder, for tools that are newer than those of this machine. Needs root and debootstrap.

# debian13_make FOLDER PACKAGE...: install Debian 13 into FOLDER, or add packages to the one that is there.
debian13_make() {
    local folder=$1
    shift
    if [ ! -e "$folder/etc/debian_version" ]; then
        debootstrap --variant=minbase --include=ca-certificates trixie "$folder" \
            "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$folder.log" 2>&1 || return
        cp /etc/apt/apt.conf.d/*proxy* "$folder/etc/apt/apt.conf.d/" 2>/dev/null || true # the machine's, if it has one
    fi
    chroot "$folder" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$@"' sh "$@" >>"$folder.log" 2>&1
}

# debian13_run FOLDER WORK COMMAND...: run the command there, with the folder WORK as /work, in a mount namespace of its
# own in which the root folder is a mount point, as podman needs it.
debian13_run() {
    local folder=$1 work=$2
    shift 2
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare -m bash -ec '
        folder=$1 work=$2
        shift 2
        mount --make-rprivate /
        mount --bind "$folder" "$folder"
        mount -t proc proc "$folder/proc"
        mount --rbind /sys "$folder/sys"
        mount --rbind /dev "$folder/dev"
        mkdir -p "$folder/work"
        mount --bind "$work" "$folder/work"
        exec chroot "$folder" env -i HOME=/root LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
        ' sh "$folder" "$work" "$@"
}
