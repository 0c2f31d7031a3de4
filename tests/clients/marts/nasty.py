"""Events that are made to be hard: on every edge that a definition has, and dense enough to meet there.

Each is a row of `events` without inserted_at, as a dict, and the number of the portion with which it arrives.
"""

import datetime
import random
import uuid

DAY = 86_400
# Users of their own: the shop's are counted from 1.
BASE = 9_000_000_000_000_000_000

VIEW = ("view", "page", "main")
CART = ("click", "button", "add_to_cart")
CHECKOUT = ("click", "button", "checkout")
PAY = ("pay", "order", "1")
OTHER = ("click", "url", "main")
STEPS = (VIEW, CART, CHECKOUT, PAY)

ADDRESSES = (
    "http://shop.example/cart", "https://shop.example/cart?a=1", "https://shop.example/cart#b", "HTTPS://SHOP.example:443/cart?a#b",
    "http://SHOP.example:80/cart", "https://user:secret@shop.example/cart", "https://shop.example/cart/", "https://shop.example/Cart",
    "https://shop.example:80/cart", "http://shop.example:443/cart", "http://shop.example:8080/cart", "https://shop.example",
    "https://shop.example/?/cart", "https://shop.example?@other/cart", "https://shop.example#?/cart", "http://[::80]:80/cart",
    "http://[::80]/cart", "https://xn--e1afmkfd.xn--p1ai/%D0%BF", "https://пример.рф/п", f"https://shop.example/{'a' * 499}/",
    f"https://shop.example/{'a' * 499}/b", f"https://shop.example/{'a' * 498}", f"https://shop.example/{'é' * 2_000}",
    "http:user:secret@shop.example/cart", "https://shop.example/@user/cart", "https://shop.example//cart", "cart", "",
)


class Rows:
    """Collects rows with the portions in which they arrive."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.rows = []
        self.keys = {}

    def id(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add(self, portion, user, dt, what, url="https://shop.example/", amount=0.0, exp=None, id=None, received=None, moved=None):
        """False when it would be a copy of another user's event, which no client may send. `moved` is the address of a copy that
        has another than the event's; it has its own `received`."""
        name, obj, obj_id = what
        id = id or self.id()
        key = (dt, name, obj, obj_id, id)
        known = self.keys.setdefault(key, (user, url, amount, exp))
        if known != (user, url, amount, exp):
            return False
        received = dt * 1_000 + 250 if received is None else received
        self.rows.append((portion, {
            "dt": dt, "name": name, "user_id": user, "url": moved or url, "obj": obj, "obj_id": obj_id, "product_id": 0,
            "amount": amount, "exp": exp or {}, "event_id": id, "received_at": moment(received),
        }))
        return True


def handmade(rows, today, days, portions):
    """Cases by name, within the last `days` days before `today` (days since 1970)."""
    last = portions - 1
    first_day = today - days + 1
    firsts = [day for day in range(first_day + 2, today - 2) if date(day).day == 1]
    month = firsts[-1] if firsts else today - 3
    midnight = month * DAY
    user = BASE

    def next_user():
        nonlocal user
        user += 1
        return user

    # A session over midnight and the month's end, whose middle comes last; two sessions that a late event joins into one;
    # one that gets an earlier start, and one that gets a later end on the next day.
    for order in ((0, 1, last), (last, 0, 1), (0, last, 1), (0, last, last), (last, last, 0), (last, 1, 0)):
        who = next_user()
        for portion, shift in zip(order, (-1_800, 0, 1_800)):
            rows.add(portion, who, midnight + shift, VIEW, url=f"https://shop.example/{shift}", amount=0.1)
        who = next_user()
        for portion, shift in zip(order, (-1_801, -1, 1_799)):
            rows.add(portion, who, midnight + shift, OTHER, url=f"https://shop.example/{shift}")
    # A session that goes on for three days, from portions in a random order.
    for step in (1_800, 1_799, 900):
        who = next_user()
        for place in range(3 * DAY // step):
            rows.add(rows.random.randrange(portions), who, midnight - 2 * DAY + place * step, VIEW if place % 7 else OTHER, amount=0.01)
    # The same, but with a gap of one second too much that a late event fills.
    who = next_user()
    for place in range(100):
        rows.add(0 if place != 50 else last, who, midnight - DAY + place * 1_750, VIEW)

    # A copy that comes much later, one that comes before its elder, and one that comes three times.
    for portion, received in ((last, 1), (last, -1), (0, 0)):
        who, id = next_user(), rows.id()
        for again in range(3):
            at = portion if again else 0
            rows.add(at, who, midnight + 100, PAY, amount=7.77, id=id, received=(midnight + 100 + again * received) * 1_000, exp={"nasty": "a"})
    # An id used for other events: another second, another name, another user, another day.
    who, id = next_user(), rows.id()
    for portion, shift, what in ((0, 0, VIEW), (last, 1, VIEW), (1, 0, CART), (last, 0, PAY), (1, DAY, VIEW), (last, -DAY, OTHER)):
        rows.add(portion, who, midnight + shift, what, id=id, url=f"https://shop.example/{shift}")
    rows.add(last, next_user(), midnight + 5, VIEW, id=id)

    # Addresses of one page, and of pages that look alike.
    for place, url in enumerate(ADDRESSES):
        for again in range(3):
            rows.add((place + again) % portions, next_user(), midnight + again * 43_200, VIEW, url=url)
            rows.add(last, user, midnight + again * 43_200, (CART, OTHER)[again % 2], url=url)
    # A page that a copy takes its only view from, and one that gets it so; the elder copy comes last, or first, or both at once;
    # and one that comes back.
    for place, order in enumerate(((0, last), (last, 0), (1, 1), (0, 1, last), (last, 1, 0))):
        who, id = next_user(), rows.id()
        for number, portion in enumerate(order):
            page = f"https://shop.example/moved/{place}/{number % 2}"
            rows.add(portion, who, midnight + 77, VIEW, id=id, received=midnight * 1_000 + number, moved=page)
    # A new user of a page without a new view: an id used again.
    id = rows.id()
    for number, portion in enumerate((0, 1, last)):
        rows.add(portion, next_user(), midnight + 80 + number, VIEW, id=id, url="https://shop.example/users")

    # One user in two variants: the earlier exposure comes later; in one second; and purchases around the exposure.
    for portion, early, late in ((last, "b", "a"), (0, "a", "b"), (last, "a", "a")):
        who = next_user()
        rows.add(0, who, midnight + 1_000, VIEW, exp={"nasty": late, "other": "x"})
        rows.add(portion, who, midnight + 500, VIEW, exp={"nasty": early})
        rows.add(1, who, midnight + 499, PAY, amount=1.0)
        rows.add(1, who, midnight + 500, PAY, amount=2.0)
        rows.add(last, who, midnight + 750, PAY, amount=4.0)
    who = next_user()
    for portion, variant in ((0, "b"), (last, "a"), (1, "c")):
        rows.add(portion, who, midnight + 1_000, VIEW, exp={"nasty": variant})
    # An experiment of one variant, one without control's usual names, one in which nobody buys, one in which all do.
    for place in range(40):
        who = next_user()
        exp = {"alone": "only", "named": "zx"[place % 2], "unsold": ("control", "new")[place % 2], "sold": "ab"[place % 2]}
        rows.add(rows.random.randrange(portions), who, midnight + place, VIEW, exp={k: v for k, v in exp.items() if k != "sold"})
        if place < 20:
            rows.add(rows.random.randrange(portions), who + 1_000, midnight + place, PAY, amount=5.0, exp={"sold": exp["sold"]})
    # Sizes that cannot be chance, and words that a client may send.
    for place in range(120):
        rows.add(place % portions, next_user(), midnight + place, VIEW, exp={"mismatch": "a" if place < 30 else "b", "d'é \"\\x": "ü{}'\\"})

    # The funnel at its window's edge, over midnight, all in one second, in the wrong order, with the first step late.
    for shifts in ((0, 1, 2, DAY), (0, 1, 2, DAY + 1), (0, 0, 0, 0), (3, 2, 1, 0), (0, DAY, DAY, DAY), (0, DAY + 1, DAY + 1, DAY + 1)):
        for begin in (midnight, midnight - 1, midnight + DAY // 2):
            for order in ((0, 0, 0, 0), (last, 0, 0, 0), (0, 0, 0, last), (0, last, 1, 0), (last, 1, 1, 0)):
                who = next_user()
                for portion, shift, what in zip(order, shifts, STEPS):
                    rows.add(portion, who, begin + shift, what, amount=3.0 if what == PAY else 0.0)
    # Two beginnings of a day, of which the later reaches further.
    who = next_user()
    for portion, shift, what in ((0, 0, VIEW), (0, 10, CART), (last, 70_000, VIEW), (0, 70_001, CART), (1, 80_000, CHECKOUT), (0, 150_000, PAY)):
        rows.add(portion, who, midnight + shift, what)

    # Active 29, 30 and 31 days apart, with the first day, or the days between, late; and cohorts around a Monday.
    for gap in (1, 6, 7, 29, 30, 31, 32):
        if gap >= days - 2:
            continue
        for order in ((0, last), (last, 0), (last, last)):
            who = next_user()
            for portion, ago in zip(order, (gap, 0)):
                rows.add(portion, who, (today - 1 - ago) * DAY + 40_000, VIEW)
    monday = today - (today + 3) % 7
    for day in range(max(first_day, monday - 15), monday + 1):
        who = next_user()
        for later, portion in ((0, last), (6, 0), (7, 1), (8, 0)):
            if day + later <= today:
                rows.add(portion, who, (day + later) * DAY, VIEW)
    # Whose clocks are wrong: a user of long ago, who was there now before; and one of tomorrow.
    for day in ("1971-06-15", "1999-12-31", "2020-02-29"):
        who = next_user()
        rows.add(0, who, (today - 2) * DAY + 5, VIEW, exp={"nasty": "b"})
        rows.add(last, who, days_of(day) * DAY + 86_399, VIEW, exp={"nasty": "a"})
        rows.add(last, who, (days_of(day) + 1) * DAY, PAY, amount=1.25)
    who = next_user()
    rows.add(1, who, (today + 40) * DAY + 5, VIEW)
    rows.add(last, who, (today + 40) * DAY + 6, CART)


def sparse(rows, today, days, portions, batches):
    """Runs that find next to nothing: after the portions come batches of the events of a few users on one day each. What they
    change is on the days around, too, on which nobody else has arrivals."""
    last = portions - 1
    user = BASE + 500_000

    for batch in range(batches):
        late = portions + 1 + batch
        # By turns of late and of more than thirty days ago: then all that the day is in has been.
        day = today - ((batch // 2 * 5) % 25 + 4 if batch % 2 else (min(33, days - 4) + batch // 2 * 5))
        midnight, before, after = day * DAY, (day - 1) * DAY, (day + 1) * DAY

        def case(*events):
            nonlocal user
            user += 1
            for portion, dt, what, *exp in events:
                amount = 2.5 if what == PAY else 0.0
                rows.add(portion, user, dt, what, url=f"https://shop.example/{dt}", amount=amount, exp=exp[0] if exp else None)

        # Sessions of the day before go on; those of the day after begin earlier; two become one.
        case((0, midnight - 900, VIEW), (late, midnight + 600, VIEW))
        case((0, midnight - 1, OTHER), (late, midnight + 1_799, PAY))
        case((0, midnight - 1, OTHER), (late, midnight + 1_800, PAY))
        case((0, after + 300, VIEW), (late, after - 600, VIEW))
        case((last, midnight - 1_200, VIEW), (0, midnight + 2_100, VIEW), (late, midnight + 480, VIEW))
        case((last, after - 1_800, VIEW), (0, after + 1_200, VIEW), (late, after - 300, OTHER))
        # The day in the middle of three, of a session that goes on all the time; and one that had it but for one event.
        case(*((late if midnight <= dt < after else 0, dt, VIEW) for dt in range(before, after + DAY, 1_800)))
        case(*((late if dt == midnight + 36_000 else last, dt, OTHER) for dt in range(before, after + DAY, 1_800)))
        # Steps of a funnel that began the day before, and the beginning of one that goes on the day after.
        case((0, midnight - 43_200, VIEW), (late, midnight + 43_200, CART), (late, midnight + 43_200, CHECKOUT))
        case((0, midnight - 43_200, VIEW), (0, midnight - 3, CART), (late, midnight + 43_201, CHECKOUT))
        case((late, after - 1, VIEW), (0, after + 1, CART), (0, after + 2, CHECKOUT), (last, after + DAY - 1, PAY))
        # New, returning and resurrected on days that do not change; cohorts that lose somebody.
        for later in (1, 6, 7, 29, 30, 31):
            if day + later <= today:
                case((0, (day + later) * DAY + 5, VIEW), (late, midnight + 5, VIEW))
            case((0, (day - later) * DAY + 5, VIEW), (late, midnight + 5, VIEW))
        # An exposure that comes earlier in another variant, and one that a purchase of old now follows.
        case((0, after, VIEW, {"nasty": "b"}), (late, midnight, VIEW, {"nasty": "a"}))
        case((0, midnight + 2, PAY), (0, after, VIEW, {"nasty": "b"}), (late, midnight + 1, VIEW, {"nasty": "b"}))
        case((0, before, VIEW, {"nasty": "b"}), (late, midnight, PAY))
        # A page loses its only view to another one of the same day, by a copy: nothing else comes for either.
        user += 1
        id = rows.id()
        for portion, received, page in ((0, 0, "left"), (late, 5_000, "found")):
            url = f"https://shop.example/{page}/{batch}"
            rows.add(portion, user, midnight + 8, VIEW, id=id, received=midnight * 1_000 + received, moved=url)
        # Nothing but a copy.
        user += 1
        id = rows.id()
        for portion, received in ((0, 0), (late, 5_000)):
            rows.add(portion, user, midnight + 9, PAY, amount=1.0, id=id, received=midnight * 1_000 + received)


def random_walks(rows, today, days, portions, users):
    """Users who do everything at random, on few seconds and with the gaps that edges are made of."""
    draw = rows.random
    gaps = (0, 0, 1, 1, 2, 600, 1_799, 1_800, 1_800, 1_801, 3_600, 7_200, 43_200, DAY - 1, DAY, DAY + 1, 3 * DAY, 29 * DAY, 30 * DAY)
    ids = []
    for number in range(users):
        who = BASE + 1_000_000 + number
        dt = (today - draw.randrange(1, days)) * DAY + draw.choice((0, 1, 80_000, DAY - 1, draw.randrange(DAY)))
        home = draw.randrange(portions)
        for _ in range(draw.randrange(1, 40)):
            if dt >= today * DAY:
                break
            what = draw.choice((VIEW, VIEW, *STEPS, OTHER))
            exp = {"walk": draw.choice("ab")} if draw.random() < 0.1 else {}
            if draw.random() < 0.1:
                exp["many"] = draw.choice(("control", "one", "two"))
            portion = home if draw.random() < 0.5 else draw.randrange(portions)
            id = draw.choice(ids) if ids and draw.random() < 0.05 else rows.id()
            ids = [*ids[-50:], id]
            event = {
                "url": f"https://shop.example/{draw.randrange(5)}", "amount": round(draw.random() * 100, 2) if what == PAY else 0.0,
                "exp": exp, "id": id,
            }
            if rows.add(portion, who, dt, what, **event) and draw.random() < 0.05:
                rows.add(draw.randrange(portions), who, dt, what, **event, received=dt * 1_000 + draw.randrange(-5_000, 5_000))
            dt += draw.choice(gaps)


def extremes(rows, today, portions):
    """The first and the last days that a time can be on, before and after which there is none."""
    for number, (day, second) in enumerate(((0, 0), (0, 1_800), (1, 5), (5, 5), (30, 0), (49_708, 0), (49_709, 86_399), (49_710, 20_000))):
        who = BASE + 700_000 + number
        rows.add(0, who, (today - 3) * DAY + number, VIEW, exp={"nasty": "b"})
        for what in STEPS:
            rows.add(portions - 1, who, day * DAY + second, what, amount=0.5 if what == PAY else 0.0, exp={"nasty": "a"})


def make(seed, today, days, portions, users, batches=0, with_extremes=False):
    """All of them, as (portion, row). Portions are counted from 0; the batches follow after number `portions`, which is others'."""
    rows = Rows(seed)
    handmade(rows, today, days, portions)
    sparse(rows, today, days, portions, batches)
    if with_extremes:
        extremes(rows, today, portions)
    random_walks(rows, today, days, portions, users)
    return rows.rows


def moment(milliseconds):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    return at.isoformat(sep=" ", timespec="milliseconds")


def date(day):
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)


def days_of(text):
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days
