#!/bin/sh
# Installs the files that make has built, or removes them. The Makefile calls this script with
# PREFIX, LIBDIR, INCLUDEDIR, DOCDIR and DESTDIR in the environment: install.sh install|uninstall BUILT
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$2

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
# The version of the binary interface, by the rule of build.rs.
case $version in
0.*) abi=0.$(echo "$version" | cut -d . -f 2) ;;
*) abi=${version%%.*} ;;
esac

absolute() {
    case $1 in
    /*) path=$1 ;;
    *) path=$PWD/$1 ;;
    esac
    [ "$path" = / ] || path=${path%/}
    printf '%s\n' "$path"
}
prefix=$(absolute "${PREFIX:-/usr/local}")
libdir=$(absolute "${LIBDIR:-$prefix/lib}")
includedir=$(absolute "${INCLUDEDIR:-$prefix/include}")
docdir=$(absolute "${DOCDIR:-$prefix/share/doc/brama}")
pcdir=$libdir/pkgconfig
cmakedir=$libdir/cmake/brama
to=${DESTDIR:-}

case $1 in
uninstall)
    for file in "$libdir/libbrama.so.$version" "$libdir/libbrama.so.$abi" "$libdir/libbrama.so" \
        "$libdir/libbrama.a" "$pcdir/brama.pc" "$pcdir/brama-static.pc" \
        "$cmakedir/bramaConfig.cmake" "$cmakedir/bramaConfigVersion.cmake" \
        "$includedir/brama.h" "$includedir/brama.hpp"; do
        rm -f "$to$file"
    done
    for chapter in "$root"/src/docs/*.md; do
        rm -f "$to$docdir/${chapter##*/}"
    done
    rmdir "$to$cmakedir" "$to$docdir" 2>/dev/null || true
    exit
    ;;
install) ;;
*)
    echo "usage: install.sh install|uninstall BUILT" >&2
    exit 2
    ;;
esac

native=$(cat "$built/native")

# way_up FOLDER: the relative path from FOLDER, below LIBDIR, up to PREFIX. Fails if the installed
# files must name PREFIX by its absolute path: if LIBDIR is not below PREFIX, and in a prefix of
# the system, since pkg-config leaves out /usr/include only under this name.
way_up() {
    case $prefix in
    / | /usr | /usr/local) return 1 ;;
    esac
    case $libdir in
    "$prefix"/*) ;;
    *) return 1 ;;
    esac
    below=${libdir#"$prefix"/}/$1
    printf '%s\n' "$below" | sed 's|[^/][^/]*|..|g'
}

# within PREFIX_TEXT PATH: the path as an installed file names it. PREFIX_TEXT replaces the prefix
# of a path below it. Any other path stays as it is.
within() {
    case $2 in
    "$prefix"/*) printf '%s/%s\n' "$1" "${2#"$prefix"/}" ;;
    *) printf '%s\n' "$2" ;;
    esac
}

escaped() {
    printf '%s' "$1" | sed "s/ /$space/g; s/[\\\\&|]/\\\\&/g"
}

# fill TEMPLATE FILE PREFIX PREFIX_TEXT: writes FILE from TEMPLATE. PREFIX is the value of the
# file's variable for the prefix, and PREFIX_TEXT is how the file refers to that variable.
fill() {
    case $1 in
    # pkg-config splits flags at spaces. It escapes the value of pcfiledir itself.
    *.pc.in) space='\\ ' ;;
    *) space=' ' ;;
    esac
    sed -e "s|@PREFIX@|$(escaped "$3")|" \
        -e "s|@LIBDIR@|$(escaped "$(within "$4" "$libdir")")|" \
        -e "s|@INCLUDEDIR@|$(escaped "$(within "$4" "$includedir")")|" \
        -e "s|@VERSION@|$version|" -e "s|@ABI@|$abi|" -e "s|@NATIVE@|$native|" \
        -e "s|@NATIVE_LIST@|$(echo $native | tr ' ' ';')|" "$here/$1" >"$to$2"
    chmod 644 "$to$2"
}

install -d "$to$pcdir" "$to$cmakedir" "$to$includedir" "$to$docdir"
install -m 755 "$built/libbrama.so" "$to$libdir/libbrama.so.$version"
ln -sf "libbrama.so.$version" "$to$libdir/libbrama.so.$abi"
ln -sf "libbrama.so.$abi" "$to$libdir/libbrama.so"
install -m 644 "$built/libbrama.a" "$to$libdir/libbrama.a"
install -m 644 "$root/include/brama.h" "$root/bindings/cpp/brama.hpp" "$to$includedir"
install -m 644 "$root"/src/docs/*.md "$to$docdir"
if up=$(way_up pkgconfig); then found="\${pcfiledir}/$up"; else found=$prefix; fi
for name in brama brama-static; do
    fill "$name.pc.in" "$pcdir/$name.pc" "$found" "\${prefix}"
done
if up=$(way_up cmake/brama); then found="\${CMAKE_CURRENT_LIST_DIR}/$up"; else found=$prefix; fi
fill cmake/bramaConfig.cmake.in "$cmakedir/bramaConfig.cmake" "$found" "\${_brama_prefix}"
fill cmake/bramaConfigVersion.cmake.in "$cmakedir/bramaConfigVersion.cmake" "$found" "\${_brama_prefix}"

# The loader finds a library in a system folder only after ldconfig has read the folder.
case $to:$libdir in
:/lib* | :/usr/lib* | :/usr/local/lib*)
    if [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then
        ldconfig
    else
        echo "installed; now run ldconfig as root, so that programs find the library"
    fi
    ;;
:*)
    # In double quotes, since a prefix may have spaces.
    echo "installed; to build a program, unless the system searches these folders:"
    echo "    export PKG_CONFIG_PATH=\"$pcdir\""
    echo "    cc program.c \$(pkg-config --cflags --libs brama) \"-Wl,-rpath,$libdir\""
    ;;
esac
