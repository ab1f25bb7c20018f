"""Which mounts are networks."""

from pathlib import Path

import pytest

from verl_spo.store.database.filesystems import network_type

MOUNTS = """\
/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,addr=10.0.0.1 0 0
/dev/vdb /home/local ext4 rw 0 0
host:dir /mnt/with\\040blank fuse.sshfs rw 0 0
a@tcp:/scratch /scratch lustre rw 0 0
/dev/vdc /twice ext4 rw 0 0
server:/x /twice nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/store.db", None),
        ("/home/me/store.db", "nfs4"),
        ("/homestead/store.db", None),
        ("/home/local/store.db", None),
        ("/mnt/with blank/store.db", "fuse.sshfs"),
        ("/scratch/store.db", "lustre"),
        ("/twice/store.db", "nfs"),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: str, kind: str | None) -> None:
    assert network_type(Path(path), MOUNTS) == kind


def test_nothing_is_known_without_a_mount_table() -> None:
    assert network_type(Path("/home/store.db"), "") is None


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert network_type(tmp_path) is None
