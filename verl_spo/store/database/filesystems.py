"""Which file systems a path may lie on: SQLite's write-ahead log needs shared memory, and networks have none."""

from pathlib import Path

NETWORK = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs",
        "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3",
        "smbfs", "virtiofs", "wekafs",
    }
)  # fmt: skip

_MOUNTS = Path("/proc/self/mounts")


def network_type(path: Path, mounts: str | None = None) -> str | None:
    """The kind of network file system that a path lies on, or None if it is local or unknown.

    Args:
        path: Need not exist yet.
        mounts: Contents of a mount table such as /proc/self/mounts, which is the default.
    """
    if mounts is None:
        mounts = _MOUNTS.read_text() if _MOUNTS.exists() else ""
    kind = _type_of(path.resolve(), mounts)
    return kind if kind in NETWORK else None


def _type_of(path: Path, mounts: str) -> str | None:
    best, kind = -1, None
    for line in mounts.splitlines():
        _, point, mounted = line.split()[:3]
        # The table escapes blanks as octal numbers.
        folder = Path(point.encode().decode("unicode_escape"))
        # Of two mounts on one folder the later one counts.
        if path.is_relative_to(folder) and len(folder.parts) >= best:
            best, kind = len(folder.parts), mounted
    return kind
