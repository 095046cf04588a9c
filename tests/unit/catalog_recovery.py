# ruff: noqa: E501 - a table is read across
"""The small catalog with everything about recoveries once, and ways to break it."""

from tests.unit.catalog_files import changed

_LATE = "{key: late, parent: flight, label: {en: Late, es: Tarde}, icon: clock, severity: 3}"
_LATE_KNOWN = """\
key: late
    parent: flight
    label: {en: Late, es: Tarde}
    icon: clock
    severity: 3
    aliases:
      asknicely: [late, Delay]
      "zendesk:tag": [flight_late]
    words: [delayed, waited for hours]"""
_GATES = "{key: gates, name: Gates, location: london}"
_NEW_YORK = "{key: new-york, name: New York, time_zone: America/New_York, currency: USD, country: US}"
_NEW_YORK_OPEN = """\
key: new-york
    name: New York
    time_zone: America/New_York
    currency: USD
    country: US
    hours:
      monday: ["09:00", "17:00"]
      saturday: [10:00, 24:00]
      sunday: closed"""
_MOST = "    most_minor: {GBP: 4000}\n"
_CARE = """\
    optional_steps: [review]
    questions: [what, who, when, differently]
    clocks: {first_contact: 30, apology: 60, incentive: 120, fix: 480, close: 1440}
    guidance:
      en: Say what happened.
      es: Diga qué pasó.
    tasks:
      - {kind: customer, title: Call back, due_hours: 48}
      - {kind: process, title: Look at the roster, due_hours: 168}
    resurvey_after: close
    resurvey_hours: 48
    resurvey_scale: nps
"""
_SECTIONS = """\
root_causes:
  - {key: people, label: {en: People, es: Personas}}
  - {key: too-few, parent: people, label: {en: Too few, es: Pocas}}
recovery:
  root_cause_from_severity: 2
  settle_minutes: 10
  automation_ceiling_minor: {GBP: 6000}
  customer_value_minor: {GBP: 40000}
  blame_free: false
sources:
  - key: asknicely
    name: AskNicely
    kind: survey
    scale: nps
    tag_source: asknicely
    fields:
      external_id: /question/id
      score: /question/score
      comment: [/question/comment, /comment]
      issue_tags: /question/theme
      location: /person/base
      currency: "=GBP"
    values:
      location: {LHR: london, "JFK T4": new-york}
    tolerance_hours: 48
criteria:
  - key: very-unhappy
    name: Very unhappy
    priority: 100
    mode: live
    stop: true
    settle_minutes: 5
    when:
      sources: [asknicely, "zendesk:tag"]
      kinds: [survey]
      issue_tags: [flight]
      words: [awful, never again]
      segments: [gold]
      locations: [london]
      weekdays: [monday, sunday]
      score_at_least_pct: 0
      score_at_most_pct: 20
      severity_at_least: 2
      customer_value_at_least_minor: {GBP: 10000}
      earlier_recoveries_at_most: 3
      from_time: "22:00"
      until_time: "06:00"
    then:
      open_case: true
      assign: {to: same_agent, team: gates}
      issue: {channels: [email, sms], incentive: "off", amount_minor: 2000}
      ask_approval: true
      apologize: {channels: [email]}
      notify: [supervisor]
      resurvey_hours: 24
    breaker: {count_per_hour: 20, amount_minor_per_hour: {GBP: 30000}}
    ask_above_minor: {GBP: 1500}
    holdout_percent: 10
  - key: unhappy
    name: Unhappy
    priority: 90
    when: {kinds: [survey], score_at_most_pct: 50}
    then: {open_case: true, offer: true}
  - key: grave
    name: Grave
    priority: 200
    mode: live
    when: {words: [lawyer]}
    then: {open_case: true, assign: {to: supervisor}, notify: [manager], unsalvageable: true}
"""


def _all_in_one() -> str:
    text = changed(_LATE, _LATE_KNOWN)
    text = changed(_GATES, "{key: gates, name: Gates, location: london, skills: [flight], most_open_cases: 12}", text)
    text = changed(_NEW_YORK, _NEW_YORK_OPEN, text)
    text = changed(
        "  currency: GBP\n  support", '  currency: GBP\n  hours: {monday: ["08:00", "18:30"]}\n  support', text
    )
    return changed(_MOST, _MOST + _CARE, text) + _SECTIONS


RECOVERY = _all_in_one()

_SCORE = "      score: /question/score\n"
_ISSUE = '{channels: [email, sms], incentive: "off", amount_minor: 2000}'
_BREAKER = "    breaker: {count_per_hour: 20, amount_minor_per_hour: {GBP: 30000}}\n"
_UNHAPPY = "{kinds: [survey], score_at_most_pct: 50}"

# Each: what stands in the file, what it is broken into, the path, a part of the message, a part of the line.
BROKEN = {
    # hours
    "no such weekday": ("sunday: closed", "sonday: closed", "locations[new-york].hours.sonday", "did you mean “sunday”?", "sonday"),
    "hours that are one": ('monday: ["09:00", "17:00"]', 'monday: ["09:00"]', "locations[new-york].hours.monday", "Write when it opens and closes", 'monday: ["09:00"]'),
    "hours that are text": ('monday: ["09:00", "17:00"]', "monday: 9-17", "locations[new-york].hours.monday", "Write when it opens and closes", "9-17"),
    "no time of day": ('"09:00", "17:00"', '"9:00", "17:00"', "locations[new-york].hours.monday[0]", "“9:00” is not a time of day", '"9:00"'),
    "opening at the end": ('"09:00", "17:00"', '"24:00", "17:00"', "locations[new-york].hours.monday[0]", "“24:00” is not a time of day", '"24:00"'),
    "closing before opening": ('"09:00", "17:00"', '"22:00", "06:00"', "locations[new-york].hours.monday[1]", "It opens at 22:00, so it cannot close at 06:00", '"22:00"'),
    "closing as it opens": ('"09:00", "17:00"', '"09:00", "09:00"', "locations[new-york].hours.monday[1]", "cannot close at 09:00", '"09:00", "09:00"'),
    "never open": ('monday: ["08:00", "18:30"]', "monday: closed, tuesday: closed", "brand.hours", "Every day is closed", "tuesday: closed"),
    # teams and tags
    "unknown skill": ("skills: [flight]", "skills: [flihgt]", "teams[gates].skills[0]", "did you mean “flight”?", "flihgt"),
    "no open cases": ("most_open_cases: 12", "most_open_cases: 0", "teams[gates].most_open_cases", "too small", "most_open_cases: 0"),
    "alias of no source": ('"zendesk:tag": [flight_late]', '"Zen desk": [flight_late]', "issue_tags[late].aliases.Zen desk", "cannot be a source", "Zen desk"),
    "aliases that are text": ("asknicely: [late, Delay]", "asknicely: late", "issue_tags[late].aliases.asknicely", "must be a list", "asknicely: late"),
    "alias that is a number": ("asknicely: [late, Delay]", "asknicely: [12]", "issue_tags[late].aliases.asknicely[0]", "Put it in quotes", "[12]"),
    "word without letters": ("words: [delayed, waited for hours]", 'words: [delayed, "!?"]', "issue_tags[late].words[1]", "no letter and no digit", "!?"),
    "word that is long": ("words: [delayed, waited for hours]", f"words: [{'x' * 61}]", "issue_tags[late].words[0]", "60 is the most", "xxxxx"),
    # protocols
    "optional step of none": ("optional_steps: [review]", "optional_steps: [gather]", "protocols[late].optional_steps[0]", "is not among this protocol's steps", "[gather]"),
    "unknown question": ("questions: [what, who, when, differently]", "questions: [what, whom]", "protocols[late].questions[1]", "did you mean “who”?", "whom"),
    "unknown clock": ("{first_contact: 30, ", "{frist_contact: 30, ", "protocols[late].clocks.frist_contact", "did you mean “first_contact”?", "frist"),
    "clock of no minutes": ("apology: 60", "apology: 0", "protocols[late].clocks.apology", "too small", "apology: 0"),
    "clock of half minutes": ("apology: 60", "apology: 7.5", "protocols[late].clocks.apology", "a whole number", "7.5"),
    "guidance in one language": ("      es: Diga qué pasó.\n", "", "protocols[late].guidance.es", "The words in “es” are missing", "guidance:"),
    "unknown kind of task": ("kind: process, title", "kind: prozess, title", "protocols[late].tasks[1].kind", "did you mean “process”?", "prozess"),
    "task without a date": ("title: Call back, due_hours: 48", "title: Call back", "protocols[late].tasks[0].due_hours", "“due_hours” is missing", "Call back"),
    "task with an owner": ("title: Call back,", "title: Call back, owner: ana,", "protocols[late].tasks[0].owner", "does not belong to a task", "owner: ana"),
    "asking again after nothing": ("    resurvey_after: close\n", "", "protocols[late].resurvey_hours", "Nobody is asked again without “resurvey_after”", "resurvey_hours: 48"),
    "asking again after lunch": ("resurvey_after: close", "resurvey_after: lunch", "protocols[late].resurvey_after", "it can be: close, redemption, issue", "lunch"),
    "unknown scale to ask on": ("resurvey_scale: nps", "resurvey_scale: nsp", "protocols[late].resurvey_scale", "did you mean “nps”?", "nsp"),
    # root causes and the policy
    "unknown parent of a cause": ("parent: people", "parent: peple", "root_causes[too-few].parent", "There is no root cause “peple”; did you mean “people”?", "peple"),
    "cause in one language": ("{en: Too few, es: Pocas}", "{en: Too few}", "root_causes[too-few].label.es", "missing", "Too few"),
    "cause twice": ("key: too-few, parent: people", "key: people, parent: people", "root_causes[people].key", "The root cause “people” stands in line", "parent: people"),
    "unknown part of the policy": ("  settle_minutes: 10\n", "  settle_mins: 10\n", "recovery.settle_mins", "did you mean “settle_minutes”?", "settle_mins"),
    "severity of the policy": ("root_cause_from_severity: 2", "root_cause_from_severity: 5", "recovery.root_cause_from_severity", "1 to 4 is possible", "severity: 5"),
    "ceiling in no currency": ("automation_ceiling_minor: {GBP: 6000}", "automation_ceiling_minor: {GBX: 6000}", "recovery.automation_ceiling_minor.GBX", "not a currency", "GBX"),
    "policy that is a list": ("  blame_free: false\n", "  blame_free: maybe\n", "recovery.blame_free", "Write true or false", "maybe"),
    # sources
    "source of our own": ("  - key: asknicely\n", "  - key: resurvey\n", "sources[resurvey].key", "is a source of our own", "  - key: resurvey"),
    "unknown kind of source": ("    kind: survey\n", "    kind: surveys\n", "sources[asknicely].kind", "did you mean “survey”?", "surveys"),
    "field nobody knows": (_SCORE, f"{_SCORE}      mood: /mood\n", "sources[asknicely].fields.mood", "does not belong to what a source can tell", "mood: /mood"),
    "nothing that tells apart": ("      external_id: /question/id\n", "", "sources[asknicely].fields.external_id", "“external_id” is missing", "    fields:\n"),
    "a constant that tells nothing apart": ("external_id: /question/id", 'external_id: "=1"', "sources[asknicely].fields.external_id", "every report would be the same one", '"=1"'),
    "pointer without a slash": ("/question/score", "question/score", "sources[asknicely].fields.score", "is not a JSON Pointer", "score: question"),
    "pointer of dots": ("/question/score", "$.question.score", "sources[asknicely].fields.score", "is not a JSON Pointer", "$."),
    "pointer with a lonely tilde": ("/question/score", "/question~2/score", "sources[asknicely].fields.score", "is not a JSON Pointer", "~2"),
    "second pointer": ("[/question/comment, /comment]", "[/question/comment, comment]", "sources[asknicely].fields.comment[1]", "“comment” is not a JSON Pointer", ", comment]"),
    "no pointer": ("[/question/comment, /comment]", "[]", "sources[asknicely].fields.comment", "must be a JSON Pointer", "comment: []"),
    "pointer that is a number": ("/question/score", "7", "sources[asknicely].fields.score", "This must be text", "score: 7"),
    "score without a scale": ("    scale: nps\n", "", "sources[asknicely].fields.score", "A score means nothing without its scale", "score: /question"),
    "unknown scale": ("    scale: nps\n", "    scale: stars\n", "sources[asknicely].scale", "did you mean “stars_5”?", "scale: stars\n"),
    "constant that is no currency": ('"=GBP"', '"=GBX"', "sources[asknicely].fields.currency", "not a currency", "GBX"),
    "value of no location": ("LHR: london", "LHR: lodnon", "sources[asknicely].values.location.LHR", "did you mean “london”?", "lodnon"),
    "values of a field that is not there": ("      location: {LHR: london,", "      agent: {x: y}\n      location: {LHR: london,", "sources[asknicely].values.agent", "does not belong to the values of the fields that this source has", "agent:"),
    "one value in two spellings": ('"JFK T4": new-york', "lhr: new-york", "sources[asknicely].values.location.lhr", "“lhr” and “LHR” are the same value", "lhr: new-york"),
    "event without its name": ("    kind: survey\n", "    kind: event\n", "sources[asknicely].fields.event", "Which event is it?", "    fields:\n"),
    "event nobody knows": (_SCORE, f'{_SCORE}      event: "=late"\n', "sources[asknicely].fields.event", "“late” is not possible here", "=late"),
    "kind of a constant": (_SCORE, f'{_SCORE}      kind: "=praise"\n', "sources[asknicely].fields.kind", "“praise” is not possible here", "praise"),
    "tag of a constant": ("issue_tags: /question/theme", 'issue_tags: "=lite"', "sources[asknicely].fields.issue_tags", "There is no issue tag “lite”", "=lite"),
    "segment of a constant": (_SCORE, f'{_SCORE}      customer.segment: "=glod"\n', "sources[asknicely].fields.customer.segment", "did you mean “gold”?", "glod"),
    "tag source": ("tag_source: asknicely", "tag_source: Ask Nicely", "sources[asknicely].tag_source", "cannot be a source", "Ask Nicely"),
    "tolerance": ("tolerance_hours: 48", "tolerance_hours: 0", "sources[asknicely].tolerance_hours", "too small", "tolerance_hours: 0"),
    # what a criterion asks
    "unknown condition": ("      severity_at_least: 2\n", "      severity_atleast: 2\n", "criteria[very-unhappy].when.severity_atleast", "did you mean “severity_at_least”?", "atleast"),
    "no condition": (f"when: {_UNHAPPY}", "when: {}", "criteria[unhappy].when", "There must be entries here", "when: {}"),
    "conditions that are text": (f"when: {_UNHAPPY}", "when: always", "criteria[unhappy].when", "There must be entries here", "always"),
    "no when": (f"    when: {_UNHAPPY}\n", "", "criteria[unhappy].when", "“when” is missing", "key: unhappy"),
    "sources that are text": (f"when: {_UNHAPPY}", "when: {sources: asknicely}", "criteria[unhappy].when.sources", "must be a list", "sources: asknicely"),
    "unknown kind of feedback": ("kinds: [survey], score", "kinds: [surveys], score", "criteria[unhappy].when.kinds[0]", "did you mean “survey”?", "surveys"),
    "unknown event": (_UNHAPPY, "{events: [order_lat]}", "criteria[unhappy].when.events[0]", "did you mean “order_late”?", "order_lat]"),
    "event of a survey": (_UNHAPPY, "{kinds: [survey], events: [order_late]}", "criteria[unhappy].when.kinds", "Only the kind “event” has an event", "events: [order_late]"),
    "unknown tag of a criterion": ("issue_tags: [flight]", "issue_tags: [flihgt]", "criteria[very-unhappy].when.issue_tags[0]", "did you mean “flight”?", "flihgt"),
    "unknown segment of a criterion": ("segments: [gold]\n      loc", "segments: [glod]\n      loc", "criteria[very-unhappy].when.segments[0]", "did you mean “gold”?", "glod"),
    "unknown location of a criterion": ("      locations: [london]", "      locations: [lodnon]", "criteria[very-unhappy].when.locations[0]", "did you mean “london”?", "lodnon"),
    "unknown weekday": ("[monday, sunday]", "[monday, sonday]", "criteria[very-unhappy].when.weekdays[1]", "did you mean “sunday”?", "sonday"),
    "score over 100": ("score_at_most_pct: 50", "score_at_most_pct: 101", "criteria[unhappy].when.score_at_most_pct", "0 to 100 is possible", "101"),
    "score in words": ("score_at_most_pct: 50", "score_at_most_pct: bad", "criteria[unhappy].when.score_at_most_pct", "a whole number", "bad"),
    "scores the wrong way round": ("score_at_least_pct: 0", "score_at_least_pct: 30", "criteria[very-unhappy].when.score_at_least_pct", "No score is at least 30 and at most 20", "pct: 30"),
    "no time to begin": ('from_time: "22:00"', 'from_time: "24:00"', "criteria[very-unhappy].when.from_time", "not a time of day", 'from_time: "24:00"'),
    "time that never is": ('until_time: "06:00"', 'until_time: "22:00"', "criteria[very-unhappy].when.until_time", "so it never holds", "until_time"),
    "value in no currency": ("customer_value_at_least_minor: {GBP: 10000}", "customer_value_at_least_minor: 10000", "criteria[very-unhappy].when.customer_value_at_least_minor", "There must be entries here", "least_minor: 10000"),
    # what a criterion does
    "unknown deed": ("notify: [supervisor]", "notfy: [supervisor]", "criteria[very-unhappy].then.notfy", "did you mean “notify”?", "notfy"),
    "no deed": ("then: {open_case: true, offer: true}", "then: {}", "criteria[unhappy].then", "There must be entries here", "then: {}"),
    "deed that is false": ("then: {open_case: true, offer: true}", "then: {open_case: false}", "criteria[unhappy].then.open_case", "Write true, or leave it out", "open_case: false"),
    "assigned to anybody": ("assign: {to: supervisor}", "assign: {to: anybody}", "criteria[grave].then.assign.to", "it can be: team, same_agent, supervisor", "anybody"),
    "assigned to no team": ("assign: {to: supervisor}", "assign: {to: team}", "criteria[grave].then.assign.team", "Which team?", "{to: team}"),
    "assigned to an unknown team": ("{to: same_agent, team: gates}", "{to: same_agent, team: gate}", "criteria[very-unhappy].then.assign.team", "did you mean “gates”?", "team: gate}"),
    "issued by no channel": (_ISSUE, '{incentive: "off"}', "criteria[very-unhappy].then.issue.channels", "“channels” is missing", '{incentive: "off"}'),
    "issued by post": (_ISSUE, "{channels: [post]}", "criteria[very-unhappy].then.issue.channels[0]", "it can be: email, sms", "post"),
    "unknown incentive of a criterion": (_ISSUE, "{channels: [email], incentive: of}", "criteria[very-unhappy].then.issue.incentive", "There is no incentive “of”", "incentive: of"),
    "amount of nothing": (_ISSUE, "{channels: [email], amount_minor: 2000}", "criteria[very-unhappy].then.issue.amount_minor", "name it in “incentive”", "{channels: [email], amount"),
    "amount outside": (_ISSUE, '{channels: [email], incentive: "off", amount_minor: 9000}', "criteria[very-unhappy].then.issue.amount_minor", "9000 is not between the bounds 500 and 5000 of “off”", "      issue: {"),
    "amount of what has none": (_ISSUE, "{channels: [email], incentive: percent, amount_minor: 900}", "criteria[very-unhappy].then.issue.amount_minor", "“percent” has no amount to choose", "900}"),
    "approval of nothing": ("then: {open_case: true, offer: true}", "then: {ask_approval: true}", "criteria[unhappy].then.ask_approval", "What is to be approved?", "{ask_approval"),
    "offered and issued": ("      ask_approval: true\n", "      offer: true\n", "criteria[very-unhappy].then.offer", "“offer” gives nothing and “issue” gives", "      offer: true"),
    "given where nothing helps": ("      ask_approval: true\n", "      unsalvageable: true\n", "criteria[very-unhappy].then.unsalvageable", "“unsalvageable” gives nothing and “issue” gives", "      unsalvageable: true"),
    "unknown role to notify": ("notify: [manager]", "notify: [boss]", "criteria[grave].then.notify[0]", "not possible here", "boss"),
    "asked again at once": ("      resurvey_hours: 24\n", "      resurvey_hours: 0\n", "criteria[very-unhappy].then.resurvey_hours", "too small", "resurvey_hours: 0"),
    "an apology by no channel": ("apologize: {channels: [email]}", "apologize: {channels: []}", "criteria[very-unhappy].then.apologize.channels", "at least one entry", "channels: []"),
    # what holds a criterion back
    "live without a breaker": (_BREAKER, "", "criteria[very-unhappy].breaker", "A live criterion that issues needs a breaker", "  - key: very-unhappy"),
    "breaker of nothing": (_BREAKER, "    breaker: {}\n", "criteria[very-unhappy].breaker", "There must be entries here", "breaker: {}"),
    "breaker that does not bind": (_BREAKER, "    breaker: {amount_minor_per_hour: {USD: 100}}\n", "criteria[very-unhappy].breaker", "This does not bind what is given in GBP", "{USD: 100}"),
    "unknown breaker": ("{count_per_hour: 20,", "{count_per_day: 20,", "criteria[very-unhappy].breaker.count_per_day", "did you mean “count_per_hour”?", "count_per_day"),
    "unknown mode": ("    priority: 90\n", "    priority: 90\n    mode: dry\n", "criteria[unhappy].mode", "it can be: live, shadow, off", "dry"),
    "holdout of most": ("holdout_percent: 10", "holdout_percent: 51", "criteria[very-unhappy].holdout_percent", "0 to 50 is possible", "51"),
    "holdout of nothing": ("    priority: 90\n", "    priority: 90\n    holdout_percent: 5\n", "criteria[unhappy].holdout_percent", "This criterion issues nothing", "percent: 5\n"),
    "ceiling of nothing": ("    priority: 90\n", "    priority: 90\n    ask_above_minor: {GBP: 5}\n", "criteria[unhappy].ask_above_minor", "This criterion issues nothing", "{GBP: 5}"),
    "priority below none": ("priority: 90", "priority: -1", "criteria[unhappy].priority", "too small", "priority: -1"),
    "a loop of giving": ('sources: [asknicely, "zendesk:tag"]', "sources: [resurvey]", "criteria[very-unhappy].then.issue", "This is a loop", "      issue: {"),
    "a loop of asking": ('sources: [asknicely, "zendesk:tag"]', "sources: [asknicely, resurvey]", "criteria[very-unhappy].then.resurvey_hours", "This is a loop", "      resurvey_hours: 24"),
    "criterion twice": ("  - key: grave\n", "  - key: unhappy\n", "criteria[unhappy].key", "The criterion “unhappy” stands in line", "  - key: unhappy\n    name: Grave"),
}  # fmt: skip
