"""Values for demo data: names, places, pages and their probabilities."""

from __future__ import annotations

from ..values.statuses import STATUSES

# The activity of visitors in each hour of the day, in UTC. Most of the visitors are in India.
RHYTHM = (9, 8, 10, 14, 22, 34, 46, 54, 60, 62, 60, 57, 55, 58, 60, 56, 50, 44, 38, 32, 26, 20, 15, 11)
PATHS = ("", "sky-towers", "projects", "contact", "sky-towers/plans", "green-acres", "thank-you", "about")
SECTIONS = ("blog/guide", "projects/tower", "projects/villa", "localities/sector", "plans/unit", "news/item")

# Lists for random choices. A value with a higher probability is repeated.
CODES = """IN US AE GB SG CA AU DE SA QA KW OM NL FR MY HK NZ ZA BH KE NG JP IE CH SE ES IT TH ID PH LK NP
    BD PK VN KR CN TW BR MX AR CL PL PT BE AT DK NO FI CZ RO GR TR IL EG MU TZ UG GH FJ"""
COUNTRIES: list[str | None] = [None] * 24 + [""] * 6
COUNTRIES += [code for rank, code in enumerate(CODES.split(), 1) for _ in range(240 // rank)]
HOSTS = {"google.com": 330, "facebook.com": 80, "bing.com": 45, "linkedin.com": 40, "t.co": 30}
TOPICS = ("homes", "property", "city-news", "expat", "invest", "interiors", "forum", "architecture")
BLOGS = [f"{topic}-{number}.example" for number in range(25) for topic in TOPICS]
REFERRERS: list[tuple[str | None, str | None]] = [(None, None)] * 250 + [("", "")] * 10
REFERRERS += [(f"https://{host}/", host) for host, weight in HOSTS.items() for _ in range(weight)]
REFERRERS += [(f"https://{blog}/articles/{len(blog) * 37}", blog) for blog in BLOGS]
# The campaigns of visits from a referrer domain. None stands for a visit without a campaign.
CAMPAIGNS: dict[str, tuple[str | None, ...]] = {
    "google.com": ("brand-search", "pune-homes", None, None, None),
    "facebook.com": ("Sky-Towers-Video", "Sky-Towers-Video", "Festive-Offer", None),
    "linkedin.com": ("NRI-Investors", None),
    "": ("newsletter", *[None] * 5),
}
ACTIONS: list[tuple[str, str | None]] = [*[("page_view", None)] * 18, *[("heartbeat", None)] * 6]
ACTIONS += [("scroll", f'{{"depth":{depth}}}') for depth in (25, 25, 50, 50, 75, 90, 100)]
ACTIONS += [("click", f'{{"target":"{name}"}}') for name in ("menu", "gallery", "brochure", "map", "call")]
ACTIONS += [("video_play", '{"video":"walk-through"}'), ("form_start", '{"form":"enquiry"}')]

# The statuses that leads get in turn. The proportions are those of a sales funnel. The first six leads have six
# different statuses.
FUNNEL: list[str] = [STATUSES[int(stage)] for stage in "01234501020102130105"]
LABELS = ((70, "Very Hot"), (55, "Hot"), (40, "Warm"), (0, "Cold"))
_GIVEN_NAMES = """Rahul Priya Amit Sneha Vikram Ananya Rohan Kavita Arjun Meera Sanjay Neha Aditya Pooja Farhan
    Lakshmi Divya Émile Zoë José Jürgen Søren Chloé Łukasz Aoife Noor Grace Daniel Maria 芳 Олена"""
_FAMILY_NAMES = """Sharma Patel Iyer Khan Deshmukh Reddy Nair Kulkarni Singh Gupta Joshi Menon D'Souza Banerjee Rao
    Verma Grün Müller Núñez O'Brien Smith Johnson García Lefèvre Åberg Kowalski Tanaka Haddad Okafor 王 李"""
GIVEN_NAMES = tuple(_GIVEN_NAMES.split())
FAMILY_NAMES = tuple(_FAMILY_NAMES.split())
PROJECTS = (
    ("Sky Towers", "Pune"),
    ("Green Acres", "Pune"),
    ("Lake View Residency", "Mumbai"),
    ("The Arcade", "Bengaluru"),
    ("Sunrise Heights", "Pune"),
    ("Château Rouge", "Goa"),
)
CITIES = {
    "IN": ("Pune", "Mumbai", "Bengaluru", "Hyderabad", "Delhi", "Nāgpur"),
    "US": ("Austin", "New York", "San José"),
    "AE": ("Dubai", "Abu Dhabi"),
    "GB": ("London", "Leeds"),
    "DE": ("München", "Köln"),
}
ORIGINS = ("WebSite", "WebSite", "WebSite", "Google Ads", "Facebook", "Referral")
BUTTONS = ("hero-form", "hero-form", "sticky-footer", "brochure-popup", "exit-intent", None)
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")  # reserved for documentation (RFC 5737)
REPEATS = (0, 0, 0, 0, 0, 0, 1, 1, 2, 4)  # number of submissions of a lead after the first one

# The columns that the demo fills, by table.
COLUMNS: dict[str, tuple[str, ...]] = {
    table: tuple(names.split())
    for table, names in {
        "sessions": """session_id visitor_id fingerprint started_at ended_at duration engagement_score event_count
            entry_page exit_page country referrer referrer_domain vpn_suspected""",
        "events": "event_id session_id event_type page_url occurred_at data",
        "leads": """lead_id enquiry_datetime contact_name contact_email contact_phone project_name project_location
            project_source contact_country_name contact_city visitor_id session_id engagement_score engagement_label
            form_submit_count suspicion_score status""",
        "lead_submissions": """submission_id lead_id submitted_at project_name visitor_id session_id contact_email
            contact_phone contact_ip source referer cta_name is_primary_lead is_duplicate_window payload_json""",
        "lead_status_changes": "change_id lead_id old_status new_status changed_at changed_by",
    }.items()
}


def campaign_query(domain: str | None, entry: int, key: int) -> str:
    """Return the query string of an entry page, or "". Only the most frequent pages have campaigns.

    :param entry: the index of the page in the list of pages, which begins with the most frequent page.
    :param key: a number that determines the campaign.
    """
    campaigns = CAMPAIGNS.get(domain or "", (None,))
    campaign = campaigns[(key >> 32) % len(campaigns)] if entry < len(PATHS) else None
    return f"?utm_campaign={campaign}" if campaign else ""
