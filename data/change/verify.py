"""Checks this record with Python and OpenSSL 3 alone: python verify.py [SHA-256 of record.pem]"""
import hashlib, pathlib, subprocess, sys
here, key = pathlib.Path(__file__).resolve().parent, "record.pem"
hashed = lambda data: hashlib.sha256(data).hexdigest()
read = lambda name: (here / name).read_bytes() if (here / name).is_file() else b""
sums = {line[66:]: line[:64] for line in read("SHA256SUMS").decode().splitlines()}
found, listed = {path.name for path in here.iterdir()}, {*sums, "SHA256SUMS", "SHA256SUMS.sig"}
wrong = [f"{name} is missing, or is not part of the record" for name in sorted(found ^ listed)]
wrong += [f"{name} was changed" for name in sums if hashed(read(name)) != sums[name]]
last, steps = hashed(read("plan.json")), read("steps.jsonl").splitlines()
for number, step in enumerate(steps, 1):
    wrong += [] if f'"previous": "{last}"'.encode() in step else [f"step {number} is out of order"]
    last = hashed(step)
files = f"-inkey {key} -in SHA256SUMS -sigfile SHA256SUMS.sig"
openssl = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", *files.split()]
signed = subprocess.run(openssl, cwd=here, capture_output=True, text=True)
wrong += [f"the signature: {signed.stdout}{signed.stderr}"] if signed.returncode else []
wrong += [f"{key} is not the key {name}" for name in sys.argv[1:] if name != hashed(read(key))]
told = f"{len(sums)} files and {len(steps)} steps are as signed by the key {hashed(read(key))}"
sys.exit(print(*wrong or [told], sep="\n") or bool(wrong))
