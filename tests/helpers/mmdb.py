"""Write a small MMDB file, by the specification of the format (version 2.0, records of 24 bits)."""

from ipaddress import ip_network


def write_countries(path, countries):
    """Write a file with the country codes of IPv4 networks: `{"192.0.2.0/24": "IN"}`."""
    nodes, rows = [[None, None]], b""
    for network, code in countries.items():
        bits = [
            int(ip_network(network).network_address) >> (31 - place) & 1
            for place in range(ip_network(network).prefixlen)
        ]
        node = 0
        for bit in bits[:-1]:
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][bits[-1]] = (len(rows),)
        rows += encode({"country": {"iso_code": code}})
    tree = b"".join(record(target, len(nodes)) for node in nodes for target in node)
    metadata = {
        "node_count": len(nodes),
        "record_size": 24,
        "ip_version": 4,
        "database_type": "Test",
        "languages": [],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {},
    }
    path.write_bytes(tree + bytes(16) + rows + b"\xab\xcd\xefMaxMind.com" + encode(metadata))


def record(target, number):
    value = number if target is None else number + 16 + target[0] if isinstance(target, tuple) else target
    return value.to_bytes(3, "big")


# The numbers of the types uint32 and uint64, for these two values of the metadata. Other integers are uint16.
INTEGERS = {"node_count": 6, "build_epoch": 9}


def encode(value, name=""):
    if isinstance(value, str):
        return control(2, len(value)) + value.encode()
    if isinstance(value, int):
        size = (value.bit_length() + 7) // 8
        return control(INTEGERS.get(name, 5), size) + value.to_bytes(size, "big")
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(map(encode, value))
    return control(7, len(value)) + b"".join(encode(name) + encode(item, name) for name, item in value.items())


def control(kind, size):
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
