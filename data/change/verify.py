"""Checks a record with Python and OpenSSL 3: python verify.py [its folder] [SHA-256 of record.pem]"""
import csv, hashlib, json, pathlib, subprocess, sys
given, key = [pathlib.Path(one) for one in sys.argv[1:]], "record.pem"
here = next((one for one in given if one.is_dir()), pathlib.Path(__file__).resolve().parent)
hashed = lambda data: hashlib.sha256(data).hexdigest()
read = lambda name: (here / name).read_bytes() if (here / name).is_file() else b""
inner = lambda name: read(name) or read(f"details/{name}")  # older records have all in one place
sums = {line[66:]: line[:64] for line in read("SHA256SUMS").decode().splitlines()}
found = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
listed = {*sums, "SHA256SUMS", "SHA256SUMS.sig"}
wrong = [f"{name} is missing, or is not part of the record" for name in sorted(found ^ listed)]
wrong += [f"{name} was changed" for name in sums if hashed(read(name)) != sums[name]]
plan, steps, older = inner("plan.json"), inner("steps.csv").decode(), inner("steps.jsonl").splitlines()
rows, last = list(csv.reader(steps.splitlines()))[1:], "" if wrong else json.loads(plan)["ledger"]
for number, (*cells, told) in enumerate([] if wrong else rows, 1):  # lines of the site's ledger
    while cells[8:] and not cells[-1]:
        cells.pop()  # what is empty at the end does not count
    right, last = told == hashed(json.dumps([last, *cells]).encode()), told
    wrong += [] if right else [f"step {number} is out of order"]
for number, (before, step) in enumerate(zip([plan, *older], older), 1):  # as records had them before
    right = f'"previous": "{hashed(before)}"'.encode() in step
    wrong += [] if right else [f"step {number} is out of order"]
wrong += ["plan.json is not the plan of the steps"] if rows and hashed(plan) not in steps else []
files = f"-inkey {key} -in SHA256SUMS -sigfile SHA256SUMS.sig"
openssl = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", *files.split()]
signed = subprocess.run(openssl, cwd=here, capture_output=True, text=True)
wrong += [f"the signature: {signed.stdout}{signed.stderr}"] if signed.returncode else []
wrong += [f"{key} is not the key {one}" for one in given if one != here and str(one) != hashed(read(key))]
told = f"{len(sums)} files and {len(rows or older)} steps are as signed by the key {hashed(read(key))}"
sys.exit(print(*wrong or [told], sep="\n") or bool(wrong))
