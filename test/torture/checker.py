"""Judges whether anything was lost, doubled, corrupted or deleted too early: from outside, after the fact.

It shares no code with the product, nor with the tests that drive it: Python's standard library and psql, nothing else.
Evidence lies in one folder per world:

    world.json      {"archive": folder, "psql": {PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE}}
    events.jsonl    in the order in which they ended; each line one of
                    {"what": "upload",  "key", "media_id", "md5", "sha256", "bytes", "good"}  the backend stored a version
                    {"what": "removed", "key"}                                    the backend took its object away
                    {"what": "foreign", "path", "sha256"}                         somebody put a file into the archive
                    {"what": "damaged", "path"}                                   a byte was flipped in an archived file
                    {"what": "astray",  "path"}                                   a file was found below the mount point,
                                                                                  where the archive had been taken away
                    {"what": "request", "method", "key", "if_match", "status"}    the program asked the store; status null:
                                                                                  nobody knows whether it was done
    listing.json    {key: md5} of the bucket, taken when no process of the program was alive (or all stood still)

Each line on standard input is `instant FOLDER` (any moment at which nobody works: what must hold always) or
`settled FOLDER` (faults are over and the program says that it is done: all work must be done, too). Each is answered by one
line, a JSON list of [name, sentence]; the names are those of docs/safety.md.
"""

import hashlib
import json
import os
import subprocess
import sys

PROMISED = ("archived", "releasing", "released")
FILED = PROMISED + ("source_differs", "lost", "kept")
AT_REST = FILED + ("rejected", "held", "withdrawn", "missing")
NEEDS_A_PERSON = ("rejected", "held", "missing", "source_differs", "lost")
PROBE = ".strongroom-probe-"
MARKER = ".strongroom/archive.json"

QUERY = """
select json_build_object(
  'media', (select coalesce(json_agg(to_jsonb(m)), '[]') from media m),
  'audit', (select coalesce(json_agg(to_jsonb(a) order by a.id), '[]') from audit_logs a),
  'items', (select coalesce(json_agg(to_jsonb(i) || jsonb_build_object(
      'due', i.release_due <= clock_timestamp(), 'held', coalesce(i.lease_until > clock_timestamp(), false))
      order by i.media_id, i.generation), '[]') from strongroom.items i),
  'archives', (select coalesce(json_agg(a.id), '[]') from strongroom.archives a))
"""


class Psql:
    """One psql for as long as the same database is asked: starting it takes longer than all the rest."""

    def __init__(self):
        self.settings = self.process = None

    def ask(self, settings):
        if settings != self.settings or self.process.poll() is not None:
            self.open(settings)
        self.process.stdin.write(" ".join(QUERY.split()) + ";\n\\echo\n")
        self.process.stdin.flush()
        answer = ""
        while (line := self.process.stdout.readline()) not in ("\n", ""):
            answer += line
        return answer

    def open(self, settings):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.settings = settings
        self.process = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


PSQL = Psql()


def read_database(settings):
    answer = PSQL.ask(settings)
    if answer.startswith("ERROR") and "does not exist" in answer and "strongroom." in answer:
        return {"media": [], "audit": [], "items": [], "archives": []}  # killed before it made its schema
    return json.loads(answer)


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def read_sidecar(path):
    """None for one that is torn: its own hash covers the compact JSON with sorted keys, without that hash."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        said = found.pop("self_sha256")
        text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return found if hashlib.sha256(text.encode()).hexdigest() == said else None
    except (ValueError, KeyError, AttributeError):
        return None


def read_tree(root):
    """Everything below the archive: hashes of final files, sidecars by their path, names of temporaries."""
    files, sidecars, temporaries, aside = {}, {}, [], {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, root)
            if inside.startswith(".strongroom/"):
                if inside.startswith(".strongroom/tmp/"):
                    temporaries.append(inside)
                elif inside != MARKER and not inside.endswith(".json"):
                    aside[inside] = digest(path)
            elif name.endswith(".json"):
                sidecars[inside] = read_sidecar(path)
            else:
                files[inside] = digest(path)
    return files, sidecars, temporaries, aside


class World:
    def __init__(self, folder):
        with open(os.path.join(folder, "world.json"), encoding="utf-8") as file:
            about = json.load(file)
        with open(os.path.join(folder, "listing.json"), encoding="utf-8") as file:
            self.listing = json.load(file)
        with open(os.path.join(folder, "events.jsonl"), encoding="utf-8") as file:
            self.events = [json.loads(line) for line in file if line.strip()]
        database = read_database(about["psql"])
        self.archive = about["archive"]
        # After the database, whose promises must be true from then on.
        self.files, self.sidecars, self.temporaries, self.aside = read_tree(self.archive)
        self.media = {row["id"]: row for row in database["media"]}
        self.items = database["items"]
        self.audit = database["audit"]
        self.archives = database["archives"]
        self.uploads = self.of("upload")
        self.versions = {(one["key"], one["md5"]): one for one in self.uploads}
        self.foreign = {one["path"]: one["sha256"] for one in self.of("foreign")}
        self.damaged = {one["path"] for one in self.of("damaged")}
        self.live = {}
        for event in self.events:
            if event["what"] == "upload":
                self.live[event["key"]] = event["md5"]
            elif event["what"] == "removed":
                self.live.pop(event["key"], None)

    def of(self, what):
        return [event for event in self.events if event["what"] == what]

    def items_of(self, media_id):
        return [item for item in self.items if item["media_id"] == media_id]

    def version_of(self, item):
        return self.versions.get((item["object_key"], item["etag"]))

    def audit_of(self, item, action):
        return [row for row in self.audit if row["action"] == action and (row["details"] or {}).get("item") == item["id"]]

    def holds(self, item, version):
        """The archive has this very version under the item's path."""
        return item["etag"] == version["md5"] and self.files.get(item["archive_path"]) == version["sha256"]


def judge_copies(world):
    """I1, I7: of what the backend stored last under a key, a whole copy is there; nobody else wrote to the bucket."""
    for key, md5 in world.live.items():
        version = world.versions[key, md5]
        there = world.listing.get(key)
        if there == md5:
            continue
        if there is not None:
            yield "source-replaced", f"{key} holds {there}, but {md5} was stored last"
        filed = [item for item in world.items if item["object_key"] == key and item["state"] in FILED]
        if not any(world.holds(item, version) for item in filed):
            yield "lost", f"no whole copy of {key} ({md5}) is left: not in the bucket, and no item holds it"
    for key in world.listing:
        if key not in world.live and not key.startswith(PROBE):
            yield "object-from-nowhere", f"the bucket holds {key}, which nobody stored"


def judge_promises(world):
    """I2: what the database calls archived lies there whole, and its sidecar says so."""
    for item in world.items:
        if item["state"] not in PROMISED:
            continue
        path, who = item["archive_path"], f"item {item['id']} of media {item['media_id']}"
        version = world.version_of(item)
        if version is None:
            yield "archived-what-nobody-stored", f"{who} says that it archived {item['object_key']} {item['etag']}"
            continue
        if not version["good"]:
            yield "bad-media-archived", f"{who} is {item['state']}, but its object is no valid media"
        found = world.files.get(path)
        excused = path in world.damaged and world.listing.get(item["object_key"]) == version["md5"]
        if found is None and not excused:
            yield "archived-file-missing", f"{who} is {item['state']}, but {path} is not there"
        elif found != version["sha256"] and not excused:
            yield "archived-file-differs", f"{path} of {who} has other bytes than were stored"
        if item["sha256"] != version["sha256"] or item["size_bytes"] != version["bytes"]:
            yield "item-hash-differs", f"{who} has another hash or size than what was stored"
        if not excused:
            yield from judge_sidecar(world, item, version)


def judge_sidecar(world, item, version):
    path = f"{item['archive_path']}.json"
    if path not in world.sidecars:
        yield "sidecar-missing", f"{path} is not there"
        return
    sidecar = world.sidecars[path]
    if sidecar is None:
        yield "sidecar-torn", f"{path} does not have its own hash"
        return
    source = sidecar.get("source") or {}
    facts = [
        ("media id", sidecar.get("media_id"), item["media_id"]),
        ("path", sidecar.get("archive_path"), item["archive_path"]),
        ("size", sidecar.get("bytes"), version["bytes"]),
        ("hash", sidecar.get("sha256"), version["sha256"]),
        ("ETag", source.get("etag"), version["md5"]),
        ("key", source.get("key"), version["key"]),
    ]
    for what, said, truth in facts:
        if said != truth:
            yield "sidecar-differs", f"{path} names another {what}: {said}"


def judge_rows(world):
    """I2: the backend's row agrees with the newest item of its medium."""
    for row in world.media.values():
        items = world.items_of(row["id"])
        newest = items[-1] if items else None
        # What was lost later was archived once, and its row still says so.
        filed = [item for item in items if item["state"] in PROMISED + ("lost",)]
        who = f"media {row['id']}"
        if row["status"] == "archived" and not filed:
            yield "row-archived-without-item", f"{who} is archived, and no item of it is"
            continue
        if newest is None or newest["state"] not in PROMISED:
            continue
        as_claimed = row["approved_at"] == newest["approved_at"] and row["object_key"] == newest["object_key"]
        if not as_claimed:
            continue  # the backend approved another version since
        if row["status"] != "archived" or row["archived_at"] is None:
            yield "row-not-archived", f"{who} is {row['status']}, but item {newest['id']} is {newest['state']}"
        if row["archive_path"] != newest["archive_path"]:
            yield "row-path-differs", f"{who} names {row['archive_path']}, its item {newest['archive_path']}"
        if row["checksum_sha256"] != newest["sha256"]:
            yield "row-hash-differs", f"{who} and its item name different hashes"


def judge_deletions(world):
    """I3: what the program deleted was archived before, in that very version, by the holder of its release."""
    current = {}
    stored_last = {event["key"]: at for at, event in enumerate(world.events) if event["what"] == "upload"}
    for at, event in enumerate(world.events):
        key = event.get("key")
        if event["what"] == "upload":
            current[key] = event["md5"]
        elif event["what"] == "removed":
            current.pop(key, None)
        elif event["what"] == "request":
            yield from judge_request(world, event, current, stored_last.get(key, -1) > at)


def judge_request(world, event, current, replaced_since):
    key, method, status = event["key"], event["method"], event["status"]
    if method in ("GET", "HEAD") or key.startswith(PROBE):
        return
    done = status is None or 200 <= status < 300
    if method != "DELETE":
        if done:
            yield "written-to-bucket", f"the program sent {method} {key}"
        return
    if not done:
        return
    etag = (event["if_match"] or "").strip('"') or current.get(key)
    if not any(one["key"] == key for one in world.uploads):
        yield "deleted-unknown-key", f"the program deleted {key}, which nobody stored"
        return
    if etag is None:
        return  # sent twice: it was gone already
    if status is None and world.listing.get(key) == etag:
        return  # unanswered, and not done
    version = world.versions.get((key, etag))
    items = [item for item in world.items if item["object_key"] == key and item["etag"] == etag]
    if version is None or not items:
        yield "deleted-another-version", f"the program deleted {key} ({etag}), which no item archived"
        return
    if not any(world.audit_of(item, "archived") for item in items):
        yield "deleted-before-archived", f"the program deleted {key} before its archiving was recorded"
    # Killed between DELETE and record, the next worker finds what was stored since, and calls it that.
    ended = ("releasing", "released", "lost") + (("source_differs",) if replaced_since else ())
    if not any(item["state"] in ended for item in items):
        states = ", ".join(item["state"] for item in items)
        yield "deleted-without-release", f"the program deleted {key} while its item was {states}"
    if not any(world.holds(item, version) for item in items):
        yield "deleted-without-copy", f"the program deleted {key} ({etag}), and the archive has no equal copy"


def judge_final_names(world):
    """I4: a final name shows whole bytes of its own, or is somebody else's and untouched."""
    whole = {one["sha256"] for one in world.uploads}
    for path, found in world.files.items():
        if path in world.foreign:
            if found != world.foreign[path]:
                yield "foreign-file-changed", f"{path} is not ours and was changed"
        elif found not in whole and path not in world.damaged:
            yield "partial-final-name", f"{path} holds bytes that nobody stored"
    for path, sha256 in world.foreign.items():
        there = world.sidecars.get(path, "absent") if path.endswith(".json") else world.files.get(path)
        if there is None or there == "absent":
            yield "foreign-file-gone", f"{path} is not ours and is gone"
    for path, sidecar in world.sidecars.items():
        if sidecar is None and path not in world.foreign:
            yield "sidecar-torn", f"{path} does not have its own hash"


def judge_audit(world):
    """I5: exactly one archived row for each archived item, one source_deleted row for each released one, no others."""
    known = {item["id"]: item for item in world.items}
    for item in world.items:
        who = f"item {item['id']} of media {item['media_id']}, {item['state']},"
        archived, deleted = len(world.audit_of(item, "archived")), len(world.audit_of(item, "source_deleted"))
        filed = item["state"] in PROMISED + ("source_differs",)
        if item["state"] not in ("lost", "kept"):
            if archived > 1:
                yield "audit-archived-doubled", f"{who} has {archived} archived rows"
            elif archived < filed:
                yield "audit-archived-missing", f"{who} has no archived row"
            elif archived > filed:
                yield "audit-archived-false", f"{who} has an archived row"
        if deleted > 1:
            yield "audit-deleted-doubled", f"{who} has {deleted} source_deleted rows"
        elif item["state"] == "released" and deleted == 0:
            yield "audit-deleted-missing", f"{who} has no source_deleted row"
        elif deleted and item["state"] not in ("released", "lost"):
            yield "audit-deleted-false", f"{who} has a source_deleted row"
    for row in world.audit:
        item = known.get((row["details"] or {}).get("item"))
        if item is None or item["media_id"] != row["media_id"]:
            yield "audit-of-no-item", f"audit row {row['id']} ({row['action']}) belongs to no item of its medium"
            continue
        if row["action"] == "source_deleted":
            key, etag = item["object_key"], (row["details"] or {}).get("etag")
            there = world.listing.get(key) == etag and world.live.get(key) == etag
            if there and not stored_again(world, key, etag) and not denied(world, key):
                yield "deleted-but-there", f"{key} is said to be deleted, and is there"


def stored_again(world, key, md5):
    return sum(one["key"] == key and one["md5"] == md5 for one in world.uploads) > 1


def denied(world, key):
    """The store itself said that there is no such object."""
    return any(one["key"] == key and one["status"] == 404 for one in world.of("request"))


def judge_items(world):
    """I6: no version is archived twice, no path belongs to two items."""
    seen, paths = {}, {}
    for item in world.items:
        if item["state"] in PROMISED:
            version = (item["media_id"], item["object_key"], item["etag"], item["approved_at"])
            if version in seen:
                yield "doubled", f"items {seen[version]} and {item['id']} archived the same version of media {item['media_id']}"
            seen[version] = item["id"]
        path = item["archive_path"]
        if path is not None and item["state"] in FILED:
            if path in paths:
                yield "path-shared", f"items {paths[path]} and {item['id']} both name {path}"
            paths[path] = item["id"]


def judge_identity(world):
    """I10: the archive still carries the id that the database knows, and nothing was filed where it was not mounted."""
    for event in world.of("astray"):
        if "/.strongroom/tmp/" not in event["path"]:
            yield "filed-astray", f"{event['path']} was written while the archive was away"
    if len(world.archives) > 1:
        yield "archives-doubled", "the database knows two archives"
    try:
        with open(os.path.join(world.archive, MARKER), encoding="utf-8") as file:
            marked = json.load(file)["id"]
    except FileNotFoundError:
        marked = None
    except (ValueError, KeyError):
        yield "marker-torn", f"{MARKER} cannot be read"
        return
    if world.items and marked not in world.archives:
        yield "marker-differs", f"the archive is {marked}, the database knows {world.archives}"


def judge_convergence(world):
    """I9: nothing is left to do, and nothing lies about that nobody answers for."""
    for item in world.items:
        who = f"item {item['id']} of media {item['media_id']}"
        if item["state"] not in AT_REST:
            yield "not-converged", f"{who} is still {item['state']}: {item['error_message']}"
        if item["state"] == "archived" and item["due"]:
            yield "not-released", f"{who} is due for release and still archived: {item['error_message']}"
        if item["lease_owner"] is not None or item["held"]:
            yield "lease-left", f"{who} is {item['state']} and still leased"
        if item["state"] == "lost":
            yield "lost", f"{who} is lost: {item['error_message']}"
    for row in world.media.values():
        if row["status"] != "approved" or row["deleted_at"] is not None:
            continue
        items = world.items_of(row["id"])
        version = world.versions.get((row["object_key"], world.live.get(row["object_key"])))
        state = items[-1]["state"] if items else "no item"
        if version is not None and version["good"] and (state not in NEEDS_A_PERSON or state in ("rejected", "missing")):
            yield "never-archived", f"media {row['id']} is approved and its object is good, but: {state}"
    owned = {item["archive_path"] for item in world.items if item["state"] in FILED} | set(world.foreign)
    for path in world.files:
        if path not in owned:
            yield "orphan-file", f"{path} is a copy that no item answers for"
    for path in world.sidecars:
        if path.removesuffix(".json") not in world.files and path not in world.foreign:
            yield "orphan-sidecar", f"{path} describes a file that is not there"
    for name in world.temporaries:
        yield "temporary-left", f"{name} is left"


ALWAYS = (
    judge_copies,
    judge_promises,
    judge_rows,
    judge_deletions,
    judge_final_names,
    judge_audit,
    judge_items,
    judge_identity,
)


def judge(folder, settled):
    world = World(folder)
    if settled:
        world.damaged.clear()  # what was damaged must have been healed by now
    judges = ALWAYS + ((judge_convergence,) if settled else ())
    return [list(found) for look in judges for found in look(world)]


def main():
    for line in sys.stdin:
        moment, folder = line.rstrip("\n").split(" ", 1)
        try:
            answer = judge(folder, moment == "settled")
        except Exception as error:  # what cannot be judged is no good outcome
            answer = [["not-judged", f"{type(error).__name__}: {error}"]]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
