"""Run as a program of its own: what an HDF5 file holds, to standard output. It imports nothing of this package.

HDF5's library hangs or crashes on damaged files, and follows references to other files: this program has limits of time
and memory, and refuses such references before it reads. The output is the length of a JSON header in 8 bytes, the
header, and the bytes of the arrays, one after the other.
"""

import json
import sys
from typing import Any

LARGEST = 16
"""How many times the size of the file its content may have."""
MOST_OBJECTS = 100_000


def main(path: str, size: int) -> None:
    """Write what the file holds; a refusal goes to the header as "error"."""
    import h5py

    arrays: list[Any] = []
    header: dict[str, Any] = {"config": None, "version": "", "names": {}, "arrays": []}
    try:
        with h5py.File(path, "r") as file:
            header["config"] = text(file.attrs.get("model_config"))
            header["version"] = text(file.attrs.get("keras_version")) or ""
            collect(h5py, file, size, header, arrays)
    except Refused as refusal:
        header, arrays = {"error": str(refusal)}, []
    except Exception:  # h5py's own of a damaged file, of many types
        header, arrays = {"error": "is not a complete HDF5 file: it is truncated, damaged or of another kind"}, []
    encoded = json.dumps(header).encode()
    sys.stdout.buffer.write(len(encoded).to_bytes(8, "little") + encoded)
    for array in arrays:
        sys.stdout.buffer.write(array.tobytes())


class Refused(Exception):  # noqa: N818
    """What the file holds is not read."""


def collect(h5py: Any, file: Any, size: int, header: dict[str, Any], arrays: list[Any]) -> None:
    """All arrays of floats below a group, in the order of their names, and the names of weights that groups state."""
    seen: set[int] = set()
    open_ends, total = [("", file)], 0
    while open_ends:
        path, node = open_ends.pop()
        if node.id.__hash__() in seen or len(seen) > MOST_OBJECTS:
            raise Refused("has groups that contain each other, or too many")
        seen.add(node.id.__hash__())
        if isinstance(node, h5py.Dataset):
            check(path, node)
            total += node.size * node.dtype.itemsize
            if total > LARGEST * size + 2**20:
                raise Refused(f"claims more than {LARGEST} times its size: store it as it is")
            if node.dtype.kind == "f" or str(node.dtype) == "bfloat16":
                arrays.append(node[()])
                header["arrays"].append([path, node.dtype.str, list(node.shape)])
            continue
        names = weight_names(node)
        if names:
            header["names"][path] = names
        for name in sorted(node, reverse=True):
            link = node.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                where = f"{path}/{name}".lstrip("/")
                raise Refused(f"has a link {where!r} to another place or file, and links are not followed")
            child = node[name]
            if isinstance(child, h5py.Group | h5py.Dataset):
                open_ends.append((f"{path}/{name}".lstrip("/"), child))


def check(path: str, node: Any) -> None:
    """A refusal of a dataset whose numbers are in other files."""
    if node.external or node.is_virtual:
        raise Refused(f"has its array {path!r} in another file, and other files are not read")


def weight_names(node: Any) -> list[str | None]:
    """The names of a group's weights in their order, which Keras splits over several attributes if they are long."""
    parts = [name for name in node.attrs if name.startswith("weight_names")]
    return [text(one) for name in sorted(parts, key=lambda name: (len(name), name)) for one in node.attrs[name]]


def text(value: Any) -> str | None:
    """A string attribute, bytes or not."""
    return value.decode("utf-8") if isinstance(value, bytes) else None if value is None else str(value)


def limit(memory: int, seconds: int) -> None:
    """Limits of memory and processor time, where the system has them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


if __name__ == "__main__":
    limit(int(sys.argv[3]), int(sys.argv[4]))
    main(sys.argv[1], int(sys.argv[2]))
