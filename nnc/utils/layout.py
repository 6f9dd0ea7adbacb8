"""Where boxes and arrows of a graph go: in layers, from the inputs on.

After Sugiyama et al. 1981: (1) a rank for each box, the longest way from a source; (2) an edge over
several ranks becomes a chain through places kept free; (3) the order within ranks, by the means of
neighbours, sweep after sweep, the one with the fewest crossings; (4) places within ranks, as near
to the neighbours' means as the widths allow (least squares under distances: pool adjacent
violators).

`across` is the direction of the ranks, `along` the one that edges go in.
"""

GAP_ALONG, GAP_ACROSS, LANE = 44, 28, 16        # between ranks, between boxes, around an edge
STUB = 11                                       # the straight end of an edge, with its arrow
_SWEEPS, _ROUNDS = 24, 40


def place(sizes, edges):
    """Places boxes.

    Args:
        sizes: `(across, along)` of each box.
        edges: Pairs of boxes, without circles.

    Returns:
        The centre `(across, along)` of each box, the points of each edge, and the size of it all.
    """
    ranks = _ranks(len(sizes), edges)
    widths, chains, links = _chains(sizes, edges, ranks)
    layers = _order(ranks, links)
    across = _across(layers, widths, links)
    _straighten(layers, widths, chains, across)
    tops, heights = _tops(layers, sizes)
    low = min((across[v] - widths[v] / 2 for layer in layers for v in layer), default=0)
    across = {v: a - low for v, a in across.items()}
    total = max((across[v] + widths[v] / 2 for v in across), default=0)
    centres = [(across[v], tops[ranks[v]] + heights[ranks[v]] / 2) for v in range(len(sizes))]
    routes = _routes(sizes, edges, ranks, chains, across, tops, heights, centres)
    return centres, routes, (total, tops[-1] + heights[-1] if tops else 0)


def is_acyclic(count, edges):
    """Whether no edge leads back."""
    return _topological(count, edges) is not None


def _topological(count, edges):
    waiting, after = [0] * count, [[] for _ in range(count)]
    for a, b in edges:
        waiting[b] += 1
        after[a].append(b)
    ready, order = [v for v in range(count) if not waiting[v]], []
    while ready:
        v = ready.pop(0)
        order.append(v)
        for b in after[v]:
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    return order if len(order) == count else None


def _ranks(count, edges):
    ranks = [0] * count
    order = _topological(count, edges)
    for v in order:
        for a, b in edges:
            if a == v:
                ranks[b] = max(ranks[b], ranks[v] + 1)
    entered = {b for _, b in edges}
    for v in reversed(order):                       # sources go down to who reads them
        after = [ranks[b] for a, b in edges if a == v]
        if v not in entered and after:
            ranks[v] = min(after) - 1
    return ranks


def _chains(sizes, edges, ranks):
    """Adds a place for each rank that an edge passes. `ranks` grows."""
    widths = {v: size[0] for v, size in enumerate(sizes)}
    chains, links = [], []
    for a, b in edges:
        chain, before = [], a
        for rank in range(ranks[a] + 1, ranks[b]):
            v = len(ranks)
            ranks.append(rank)
            widths[v] = LANE
            chain.append(v)
            links.append((before, v))
            before = v
        links.append((before, b))
        chains.append(chain)
    return widths, chains, links


def _neighbours(count, links):
    above, below = [[] for _ in range(count)], [[] for _ in range(count)]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    return above, below


def _order(ranks, links):
    layers = [[] for _ in range(max(ranks, default=-1) + 1)]
    above, below = _neighbours(len(ranks), links)
    seen = set()

    def visit(start):
        stack = [start]
        while stack:
            v = stack.pop()
            if v not in seen:
                seen.add(v)
                layers[ranks[v]].append(v)
                stack.extend(reversed(below[v]))
    for v in sorted(range(len(ranks)), key=lambda v: ranks[v]):
        visit(v)
    best, fewest = [layer[:] for layer in layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in (layers if down else reversed(layers)):
            place_of = {v: i for other in layers for i, v in enumerate(other)}
            near = above if down else below

            def mean(v):
                found = near[v]
                return sum(place_of[u] for u in found) / len(found) if found else place_of[v]
            layer.sort(key=mean)
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = [layer[:] for layer in layers], crossings
    return best


def _crossings(layers, below):
    count = 0
    for layer, following in zip(layers, layers[1:]):
        place_of = {v: i for i, v in enumerate(following)}
        ends = [place_of[b] for a in layer for b in sorted(below[a], key=place_of.get)]
        count += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return count


def _across(layers, widths, links):
    above, below = _neighbours(len(widths), links)
    across = {}
    for layer in layers:
        x = 0
        for v in layer:
            across[v] = x + widths[v] / 2
            x += widths[v] + GAP_ACROSS
        for v in layer:
            across[v] -= (x - GAP_ACROSS) / 2
    for turn in range(_ROUNDS):
        for layer in (layers if turn % 2 == 0 else reversed(layers)):
            wanted = []
            for v in layer:
                near = above[v] + below[v] if turn > _ROUNDS // 2 else \
                    (above if turn % 2 == 0 else below)[v] or above[v] + below[v]
                wanted.append(sum(across[u] for u in near) / len(near) if near else across[v])
            for v, a in zip(layer, _apart(wanted, [widths[v] for v in layer])):
                across[v] = a
    return across


def _straighten(layers, widths, chains, across):
    """Puts all places of an edge into one line where nothing is in the way."""
    layer_of = {v: layer for layer in layers for v in layer}
    for chain in chains:
        low, high = float("-inf"), float("inf")
        for v in chain:
            layer = layer_of[v]
            i, room = layer.index(v), widths[v] / 2 + GAP_ACROSS
            if i:
                u = layer[i - 1]
                low = max(low, across[u] + widths[u] / 2 + room)
            if i + 1 < len(layer):
                u = layer[i + 1]
                high = min(high, across[u] - widths[u] / 2 - room)
        if chain and low <= high:
            wanted = sum(across[v] for v in chain) / len(chain)
            across.update(dict.fromkeys(chain, min(max(wanted, low), high)))


def _apart(wanted, widths):
    """The places nearest to those wanted that keep boxes apart."""
    offsets, offset = [], 0.0
    for i, width in enumerate(widths):
        if i:
            offset += (widths[i - 1] + width) / 2 + GAP_ACROSS
        offsets.append(offset)
    blocks = []                                     # (mean, how many)
    for a, offset in zip(wanted, offsets):
        mean, count = a - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, many = blocks.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets)]


def _tops(layers, sizes):
    heights = [max((sizes[v][1] for v in layer if v < len(sizes)), default=0) for layer in layers]
    tops, y = [], 0
    for height in heights:
        tops.append(y)
        y += height + GAP_ALONG
    return tops, heights


def _routes(sizes, edges, ranks, chains, across, tops, heights, centres):
    leaving, entering = _ports(sizes, edges, chains, across)
    routes = []
    for e, (a, b) in enumerate(edges):
        start, end = across[a] + leaving[e], across[b] + entering[e]
        points = [(start, centres[a][1] + sizes[a][1] / 2),
                  (start, tops[ranks[a]] + heights[ranks[a]])]
        for v in chains[e]:
            points += [(across[v], tops[ranks[v]]), (across[v], tops[ranks[v]] + heights[ranks[v]])]
        points += [(end, tops[ranks[b]] - STUB), (end, centres[b][1] - sizes[b][1] / 2)]
        routes.append([p for i, p in enumerate(points) if not i or p != points[i - 1]])
    return routes


def _ports(sizes, edges, chains, across):
    """How far from the middle of its boxes each edge begins and ends."""
    found = ([0.0] * len(edges), [0.0] * len(edges))
    for side, offsets in enumerate(found):
        for v, size in enumerate(sizes):
            mine = [e for e, edge in enumerate(edges) if edge[side] == v]

            def other(e):
                chain = chains[e][::1 if side == 0 else -1]
                return across[chain[0] if chain else edges[e][1 - side]]
            mine.sort(key=other)
            step = min(LANE, 0.7 * size[0] / max(len(mine), 1))
            for k, e in enumerate(mine):
                offsets[e] = (k - (len(mine) - 1) / 2) * step
    return found
