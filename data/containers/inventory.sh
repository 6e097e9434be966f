#!/bin/sh
# Looks whether the containers of this computer have what this folder brought, and writes what it
# saw into <computer>.json beside itself. It changes nothing else, and writes down no private key.
#
#     sh inventory.sh FOLDER [[HOST:]PORT]
#
# FOLDER is the one from which they read their certificates. With the port at which they serve, it
# calls them there, too. It needs awk and openssl.
set -eu

# inputs: begin
# inputs: end

fail() {
    printf 'FAILED: %s\nWhat to do: %s\n' "$1" "$2" >&2
    exit 1
}

# Each certificate of a PEM file as JSON text, with commas between them.
certificates() {
    awk '
        /-----BEGIN CERTIFICATE-----/ { inside = 1; text = ""; next }
        /-----END CERTIFICATE-----/ { printf "%s\"%s\"", comma, text; comma = ", "; inside = 0 }
        inside { gsub(/[^A-Za-z0-9+\/=]/, ""); text = text $0 }
    ' "$1"
}

thumbprint() {
    openssl x509 -noout -fingerprint -sha1 | sed 's/.*=//; s/://g'
}

brought=$(cd "$(dirname "$0")" && pwd)
place=${1:-}
address=${2:-}

[ -d "$place" ] ||
    fail "'$place' is no folder." "Type: sh inventory.sh FOLDER. FOLDER is where they read $roots."
case $address in
*[!0-9A-Za-z.:-]*) fail "'$address' is no port." "Type the port alone, or HOST:PORT." ;;
'' | *:*) ;;
*) address=localhost:$address ;;
esac

for file in "$roots" "$certificate"; do
    cmp -s "$brought/$file" "$place/$file" ||
        fail "$place/$file is not the one of this folder." "Copy $file there."
done
echo "$roots and $certificate are those of this folder."

[ -r "$place/$key" ] ||
    fail "$place/$key is missing, or you may not read it." \
        "Open the key there, or run this as an account that may read it."
mine=$(openssl pkey -in "$place/$key" -passin pass: -pubout 2>/dev/null) ||
    fail "$place/$key does not open without a password." \
        "Type: (umask 077; openssl pkey -in $key -out FOLDER/$key)"
[ "$mine" = "$(openssl x509 -in "$place/$certificate" -noout -pubkey)" ] ||
    fail "$place/$key does not fit $certificate." "Open the key of this folder there once more."
echo "$key fits $certificate."
if [ -n "$(find "$place/$key" -perm -004)" ]; then
    echo "LOOK: everybody on this computer can read $place/$key. Let its containers alone read it."
fi

openssl verify -CAfile "$place/$roots" -untrusted "$place/$certificate" "$place/$certificate" ||
    fail "$roots does not lead to $certificate." "Look at the clock of this computer."

https=
if [ -n "$address" ]; then
    served=$(openssl s_client -connect "$address" -servername "$name" </dev/null 2>/dev/null |
        thumbprint 2>/dev/null) || served=
    [ -n "$served" ] ||
        fail "nothing answers over TLS at $address." "Start the containers, and compare the port."
    [ "$served" = "$(thumbprint <"$place/$certificate")" ] ||
        fail "$address shows another certificate, $served." "Start the containers again."
    https="\"$address\": \"$served\""
    echo "$address shows $certificate."
else
    echo "NOT JUDGED: what they serve. Run this with their port, once you know it."
fi

root=$(certificates "$place/$roots")
chain=$(certificates "$place/$certificate")
leaf=${chain%%, *}
at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
cat >"$brought/$host.json" <<END
# inventory
END
echo "Bring back $host.json."
