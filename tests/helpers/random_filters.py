"""Generate random filters, and the leads that the filter `lead` needs."""

from hypothesis import strategies as st

PAGES = ["/a", "/a?b", "/a#c", "/b", "?", "/b?x#y", "/%", "/none"]
PARTS = ["/", "/a", "/a?", "B", "%", "_", "#C", "x"]
VALUES = {
    "country": ["DE", "IN", "XX", "de", "FR"],
    "source": ["a.example", "b.example", "(direct)", "ann@a.example"],
    "source.prefix": ["a", "b.", "(", "A"],
    "source.contains": [".EXAMPLE", "a", "%", "(Direct"],
    "engagement": ["0-19", "20-39", "80-100"],
    "event_type": ["page_view", "click", "none"],
    "visitor": ["new", "returning"],
    "lead": ["true", "false"],
    **dict.fromkeys(("entry_page", "exit_page", "page"), PAGES),
    **{
        f"{field}.{suffix}": PARTS for field in ("entry_page", "exit_page", "page") for suffix in ("prefix", "contains")
    },
}
VALUES |= {f"{name}.not": values for name, values in VALUES.items() if "." not in name}
FILTERS = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3))
    ),
    min_size=1,
    max_size=3,
).map(dict)
LEAD = st.fixed_dictionaries(
    {
        "session_id": st.sampled_from([None, "s1", "s2", "none"]),
        "visitor_id": st.sampled_from([None, "", "ann", "none"]),
    }
)


def write_leads(database, leads):
    """Replace all leads. The keys of each lead may be in any order."""

    def work(at):
        at.execute("delete from leads")
        for number, lead in enumerate(leads, start=1):
            row = {"enquiry_datetime": f"2026-02-0{number} 00:00:00", **lead}
            at.insert("leads", list(row), [tuple(row.values())])

    database.write(work)
