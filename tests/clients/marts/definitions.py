"""What each mart is by its definition, counted over the events in Python.

Nothing here is computed as the models compute it: sets of ids instead of states, arrays of all gaps instead of parts, a search
for each chain instead of windowFunnel, scipy instead of formulas. A mart is a dict of columns. Days are numbers of days since
1970, times are seconds since 1970, null is NaN.
"""

import numpy as np
import scipy.stats

from warehouse import DAY

SESSION_TIMEOUT = 1_800
RETENTION_DAYS = 30
RETENTION_WEEKS = 12
FUNNEL_WINDOW = 86_400
FUNNEL_STEPS = ("view", "add_to_cart", "checkout", "paid")
PAGE_CHARACTERS = 512
CONTROL_VARIANTS = ("control", "default", "a")
CONFIDENCE = 0.95
SRM_BELOW = 0.001


def is_page_view(events):
    return events.is_("name", "view") & events.is_("obj", "page")


def is_purchase(events):
    return events.is_("name", "pay") & events.is_("obj", "order")


def is_button(events, button):
    return events.is_("name", "click") & events.is_("obj", "button") & events.is_("obj_id", button)


def user_days(events):
    """Users as numbers from 0, and each user and day on which they were active once: two columns."""
    _, users = np.unique(events.user_id, return_inverse=True)
    pairs = np.unique(np.stack([events.day, users.astype(np.int64)], axis=1), axis=0) if len(events) else np.zeros((0, 2), np.int64)
    return pairs[:, 1], pairs[:, 0]


def first_days(users, days):
    """The first day of each user."""
    first = np.full(users.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, users, days)
    return first


def users_activity(events, today):
    users, days = user_days(events)
    first = first_days(users, days)
    active = {}
    for day in np.unique(days):
        active[int(day)] = users[days == day]

    def together(since, until):
        lists = [active[day] for day in range(since, until + 1) if day in active]
        return np.unique(np.concatenate(lists)) if lists else np.zeros(0, np.int64)

    rows = []
    for day in range(int(days.min(initial=today + 1)), today + 1):
        on_the_day = together(day, day)
        week, month = together(day - 6, day), together(day - 29, day)
        is_new = first[on_the_day] == day
        was_there = np.isin(on_the_day, together(day - 30, day - 1)) & ~is_new
        rows.append((
            day, len(on_the_day), len(week), len(month), len(on_the_day) / len(month) if len(month) else 0.0,
            is_new.sum(), was_there.sum(), (~is_new & ~was_there).sum(),
        ))
    names = ("date", "dau", "wau", "mau", "stickiness", "new_users", "returning_users", "resurrected_users")
    return columns(names, rows)


def sessions(events, today):
    # ClickHouse compares UUIDs by their second half first.
    order = np.lexsort((events.id_high, events.id_low, events.dt, events.user_id))
    events = events.take(order)
    same_user = events.user_id[1:] == events.user_id[:-1]
    goes_on = same_user & (events.dt[1:] - events.dt[:-1] <= SESSION_TIMEOUT)
    starts = np.concatenate([[0], np.flatnonzero(~goes_on) + 1]) if len(events) else np.zeros(0, np.int64)
    ends = np.concatenate([starts[1:], [len(events)]])[: len(starts)]
    session = np.repeat(np.arange(len(starts)), ends - starts)

    page = is_page_view(events)
    places = np.flatnonzero(page)
    entry, exit_ = starts.copy(), ends - 1
    with_pages, first_page = np.unique(session[places], return_index=True)
    entry[with_pages] = places[first_page]
    exit_[with_pages] = places[np.searchsorted(session[places], with_pages, side="right") - 1]

    urls = np.array(events.words["url"], dtype=object)
    started = events.dt[starts]
    mart = {
        "user_id": events.user_id[starts],
        "started_at": started,
        "date": started // DAY,
        "ended_at": events.dt[ends - 1],
        "duration_seconds": events.dt[ends - 1] - started,
        "events": ends - starts,
        "pages": np.bincount(session, weights=page, minlength=len(starts)).astype(np.int64),
        "entry_url": urls[events.url[entry]] if len(starts) else np.zeros(0, object),
        "exit_url": urls[events.url[exit_]] if len(starts) else np.zeros(0, object),
        "revenue": np.bincount(session, weights=events.amount, minlength=len(starts)),
    }
    # Which of two events of one id and one second comes first is not said: any of their addresses will do.
    tied = np.zeros(len(events), dtype=bool)
    twins = same_user & (events.dt[1:] == events.dt[:-1]) & (events.id_low[1:] == events.id_low[:-1])
    twins &= events.id_high[1:] == events.id_high[:-1]
    tied[1:] |= twins
    tied[:-1] |= twins
    allowed = {}
    for column, chosen in (("entry_url", entry), ("exit_url", exit_)):
        for row in np.flatnonzero(tied[chosen]):
            place = chosen[row]
            like = slice(starts[row], ends[row])
            alike = (events.dt[like] == events.dt[place]) & (events.id_low[like] == events.id_low[place])
            alike &= (events.id_high[like] == events.id_high[place]) & (page[like] == page[place])
            allowed[column, row] = set(urls[events.url[like][alike]])
    mart["__allowed__"] = allowed
    return mart


def experiments(events, today, controls=None, shares=None):
    """`controls` is {experiment: variant}, `shares` is {experiment: {variant: share}}."""
    controls, shares = controls or {}, shares or {}
    everybody, users = np.unique(events.user_id, return_inverse=True)
    seen = {}
    for code, pairs in enumerate(events.words["exp"]):
        for experiment, variant in pairs:
            seen.setdefault(experiment, {}).setdefault(variant, []).append(code)
    buys = is_purchase(events)
    buyers, bought_at, amounts = users[buys], events.dt[buys], events.amount[buys]

    rows = []
    for experiment in sorted(seen):
        variants = sorted(seen[experiment])
        who, when, which = [], [], []
        for number, variant in enumerate(variants):
            these = np.flatnonzero(np.isin(events.exp, seen[experiment][variant]))
            who.append(users[these])
            when.append(events.dt[these])
            which.append(np.full(len(these), number))
        who, when, which = np.concatenate(who), np.concatenate(when), np.concatenate(which)
        order = np.lexsort((which, when, who))
        who, when, which = who[order], when[order], which[order]
        members, at = np.unique(who, return_index=True)
        exposed_at = np.full(len(everybody), np.iinfo(np.int64).max)
        exposed_at[members] = when[at]
        pairs = np.unique(np.stack([who, which], axis=1), axis=0)
        switches = np.bincount(pairs[:, 0], minlength=len(everybody)) > 1
        counts = bought_at >= exposed_at[buyers]
        revenue = np.bincount(buyers[counts], weights=amounts[counts], minlength=len(everybody))
        converted = np.bincount(buyers[counts], minlength=len(everybody)) > 0

        groups = {}
        for number, variant in enumerate(variants):
            group = members[which[at] == number]
            if len(group):
                groups[variant] = group
        named = [name for name in CONTROL_VARIANTS if name in groups]
        control = controls.get(experiment, named[0] if named else min(groups))
        sizes = np.array([len(group) for group in groups.values()])
        srm = np.nan
        if len(groups) > 1:
            weights = np.array([shares.get(experiment, {}).get(variant, 1.0) for variant in groups])
            if experiment in shares:
                weights = np.array([shares[experiment][variant] for variant in groups])
            srm = scipy.stats.chisquare(sizes, sizes.sum() * weights / weights.sum()).pvalue
        for variant, group in groups.items():
            against = groups.get(control) if variant != control else None
            rows.append((
                experiment, variant, int(variant == control), len(group), switches[group].sum(), converted[group].sum(),
                converted[group].mean(), revenue[group].sum(), revenue[group].mean(),
                *compared(converted, revenue, group, against), srm, int(srm < SRM_BELOW),
                exposed_at[group].min(), exposed_at[group].max(),
            ))
    names = (
        "experiment", "variant", "is_control", "users", "switchers", "conversions", "conversion_rate", "revenue",
        "revenue_per_user", "uplift", "uplift_low", "uplift_high", "difference", "difference_low", "difference_high", "p_value",
        "revenue_difference", "revenue_difference_low", "revenue_difference_high", "revenue_p_value", "srm_p_value",
        "srm_detected", "first_exposure", "last_exposure",
    )
    return columns(names, rows)


def compared(converted, revenue, group, control):
    """From `uplift` to `revenue_p_value`. An interval or a p-value is null when there is no spread to go by."""
    if control is None or len(control) == 0:
        return (np.nan,) * 11
    a, n, b, m = int(converted[group].sum()), len(group), int(converted[control].sum()), len(control)
    rate, base = a / n, b / m
    uplift = (rate - base) / base if b else np.nan
    uplift_low = uplift_high = np.nan
    if a and b and (a < n or b < m):
        # Katz's interval of the ratio.
        ratio = scipy.stats.contingency.relative_risk(a, n, b, m).confidence_interval(CONFIDENCE)
        uplift_low, uplift_high = ratio.low - 1, ratio.high - 1
    error = np.sqrt(rate * (1 - rate) / n + base * (1 - base) / m)
    low, high = scipy.stats.norm.interval(CONFIDENCE, rate - base, error) if error > 0 else (np.nan, np.nan)
    # The square of the pooled z is the chi-square of the table without Yates's correction.
    p_value = np.nan
    if 0 < a + b < n + m:
        p_value = scipy.stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False).pvalue
    theirs, ours = revenue[control], revenue[group]
    revenue_low = revenue_high = revenue_p = np.nan
    if len(ours) > 1 and len(theirs) > 1 and (np.ptp(ours) > 0 or np.ptp(theirs) > 0):
        welch = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
        revenue_low, revenue_high = welch.confidence_interval(CONFIDENCE)
        revenue_p = welch.pvalue
    return (
        uplift, uplift_low, uplift_high, rate - base, low, high, p_value,
        ours.mean() - theirs.mean(), revenue_low, revenue_high, revenue_p,
    )


def monday(days):
    """The Monday of the week. 1970-01-01 was a Thursday."""
    return days - (days + 3) % 7


def retention(events, today):
    users, days = user_days(events)
    first = first_days(users, days)
    rows = []
    for period, length, last, begin in (
        ("day", 1, RETENTION_DAYS, lambda day: day), ("week", 7, RETENTION_WEEKS, monday),
    ):
        cohort_of = begin(first)
        visits = np.unique(np.stack([users, begin(days)], axis=1), axis=0)
        cohorts = cohort_of[visits[:, 0]]
        later = (visits[:, 1] - cohorts) // length
        found, sizes = np.unique(cohort_of[first <= today], return_counts=True)
        active = {}
        places, numbers = np.unique(np.stack([cohorts, later], axis=1), axis=0, return_counts=True)
        for (cohort, n), number in zip(places.tolist(), numbers.tolist()):
            active[cohort, n] = number
        for cohort, size in zip(found.tolist(), sizes.tolist()):
            n = 0
            while n <= last and cohort + n * length <= today:
                users_then = active.get((cohort, n), 0) if n else size
                # The week of 1970-01-01 began before the first Date.
                rows.append((period, max(cohort, 0), n, size, users_then, users_then / size))
                n += 1
    return columns(("period", "cohort", "n", "cohort_size", "users", "rate"), rows)


def funnel(events, today):
    _, users = np.unique(events.user_id, return_inverse=True)
    # One number for a user and a second, so that the next event of a user is found by bisection.
    span = np.int64(1) << 34
    moments = users.astype(np.int64) * span + events.dt
    conditions = (is_page_view(events), is_button(events, "add_to_cart"), is_button(events, "checkout"), is_purchase(events))
    begins = np.sort(moments[conditions[0]])
    reached = np.ones(len(begins), dtype=np.int64)
    # For each beginning the earliest next step, then the earliest after that: no later choice reaches further.
    now, alive = begins, np.ones(len(begins), dtype=bool)
    for condition in conditions[1:]:
        candidates = np.append(np.sort(moments[condition]), np.iinfo(np.int64).max)
        now = np.where(alive, candidates[np.searchsorted(candidates, now, side="left")], np.iinfo(np.int64).max)
        alive &= now <= begins + FUNNEL_WINDOW
        alive &= now // span == begins // span
        reached += alive
    day, user = begins % span // DAY, begins // span
    # The best of a user's chains of a day.
    order = np.lexsort((reached, user, day))
    day, user, reached = day[order], user[order], reached[order]
    is_best = np.ones(len(day), dtype=bool)
    is_best[:-1] = (day[1:] != day[:-1]) | (user[1:] != user[:-1])
    day, reached = day[is_best], reached[is_best]
    rows = []
    for date in np.unique(events.day):
        of_day = reached[np.searchsorted(day, date, "left"):np.searchsorted(day, date, "right")]
        numbers = [int((of_day >= step).sum()) for step in (1, 2, 3, 4)]
        for step, number in enumerate(numbers, 1):
            before = numbers[step - 2] if step > 1 else 0
            rows.append((
                date, step, FUNNEL_STEPS[step - 1], number,
                number / numbers[0] if numbers[0] else np.nan, number / before if before else np.nan,
            ))
    return columns(("date", "step", "step_name", "users", "conversion_from_first", "conversion_from_previous"), rows)


def page_of(url):
    """Host and path, character by character: what comes first ends what came before it."""
    scheme = next((scheme for scheme in ("https:", "http:") if url[: len(scheme)].lower() == scheme), "")
    rest = url[len(scheme):].lstrip("/")
    end = next((place for place, character in enumerate(rest) if character in "?#"), len(rest))
    host, slash, path = rest[:end].partition("/")
    host = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in host.rpartition("@")[2])
    for port in (":443" if scheme == "https:" else ":80", ":"):
        if host.endswith(port):
            host = host[: -len(port)]
            break
    return f"{host}/{path}"[:PAGE_CHARACTERS]


def pages(events, today):
    views, users = {}, {}
    page_of_code = [page_of(url) for url in events.words["url"]]
    seen = events.take(is_page_view(events))
    ids = zip(seen.id_high.tolist(), seen.id_low.tolist())
    for day, url, user, id in zip(seen.day.tolist(), seen.url.tolist(), seen.user_id.tolist(), ids):
        key = day, page_of_code[url]
        views.setdefault(key, set()).add(id)
        users.setdefault(key, set()).add(user)
    rows = [(*key, len(views[key]), len(users[key])) for key in sorted(views)]
    return columns(("date", "page", "views", "users"), rows)


def columns(names, rows):
    """Rows as columns: text as objects."""
    mart = {}
    for place, name in enumerate(names):
        values = [row[place] for row in rows]
        mart[name] = np.array(values, dtype=object if values and isinstance(values[0], str) else None)
    return mart
