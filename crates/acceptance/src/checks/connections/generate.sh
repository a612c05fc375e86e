#!/usr/bin/env bash
# Writes certificates.json, the certificates and keys of the check `connections`, with openssl and python3.
#
# The file is committed, so that a run of the check needs no openssl. The keys protect nothing: their servers listen
# inside a container.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

valid=(-days 36500)

# key NAME ALGORITHM [OPTION VALUE]...
key() {
  local name=$1 algorithm=$2 options=()
  shift 2
  for option in "$@"; do options+=(-pkeyopt "$option"); done
  openssl genpkey -algorithm "$algorithm" "${options[@]+"${options[@]}"}" -out "$name.key" 2>/dev/null
}

# root NAME EXTENSIONS [OPTION]...: a self-signed certificate for NAME.key.
root() {
  local name=$1 extensions=$2
  shift 2
  openssl req -new -key "$name.key" -subj "/CN=$name" | openssl x509 -req -key "$name.key" \
    -extfile <(printf '%b' "$extensions") "${valid[@]}" "$@" -out "$name.crt" 2>/dev/null
}

# issue NAME ISSUER EXTENSIONS [OPTION]...: a certificate for NAME.key, made as P-256 if there is none yet.
issue() {
  local name=$1 issuer=$2 extensions=$3 subject=${subject:-/CN=localhost}
  shift 3
  [ -f "$name.key" ] || key "$name" EC ec_paramgen_curve:P-256
  openssl req -new -key "$name.key" -subj "$subject" | openssl x509 -req -CA "$issuer.crt" -CAkey "$issuer.key" \
    -extfile <(printf '%b' "$extensions") "${valid[@]}" -CAcreateserial "$@" -out "$name.crt" 2>/dev/null
}

# dated NAME ISSUER FROM TO EXTENSIONS: a certificate for NAME.key with these times; ISSUER may be NAME itself.
dated() {
  local name=$1 issuer=$2 from=$3 to=$4 extensions=$5 work
  work=$(mktemp -d)
  [ -f "$name.key" ] || key "$name" EC ec_paramgen_curve:P-256
  printf '[ca]\ndefault_ca=own\n[own]\ndatabase=%s/index\nnew_certs_dir=%s\nrand_serial=yes\npolicy=any\n[any]\ncommonName=supplied\n' \
    "$work" "$work" >"$work/config"
  : >"$work/index"
  local self=(-cert "$issuer.crt")
  [ "$issuer" != "$name" ] || self=(-selfsign)
  openssl req -new -key "$name.key" -subj "${subject:-/CN=localhost}" -out "$work/request"
  openssl ca -batch -notext -config "$work/config" "${self[@]}" -keyfile "$issuer.key" -md sha256 -in "$work/request" \
    -startdate "$from" -enddate "$to" -extfile <(printf '%b' "$extensions") -out "$name.crt" 2>/dev/null
  rm -rf "$work"
}

san='subjectAltName=DNS:localhost\n'
authority='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'

# ---- authorities
key ca EC ec_paramgen_curve:P-256 && root ca "$authority"
key ca-rsa RSA rsa_keygen_bits:2048 && root ca-rsa "$authority"
key ca-p521 EC ec_paramgen_curve:P-521 && root ca-p521 "$authority"
key ca-ed25519 ED25519 && root ca-ed25519 "$authority"
key ca-plain EC ec_paramgen_curve:P-256 && root ca-plain 'subjectKeyIdentifier=hash\n'
subject=/CN=ca-expired dated ca-expired ca-expired 20200101000000Z 20210101000000Z "$authority"
key ca-constrained EC ec_paramgen_curve:P-256 &&
  root ca-constrained "${authority}nameConstraints=critical,permitted;DNS:db.example\n"
key ca-twin EC ec_paramgen_curve:P-256
openssl req -new -key ca-twin.key -subj /CN=ca | openssl x509 -req -key ca-twin.key \
  -extfile <(printf '%b' "$authority") "${valid[@]}" -out ca-twin.crt 2>/dev/null

# ---- keys of the server
key rsa-1024 RSA rsa_keygen_bits:1024 && issue rsa-1024 ca "$san"
key rsa-2048 RSA rsa_keygen_bits:2048 && issue rsa-2048 ca "$san"
key rsa-4096 RSA rsa_keygen_bits:4096 && issue rsa-4096 ca "$san"
key rsa-pss RSA-PSS rsa_keygen_bits:2048 && issue rsa-pss ca "$san"
key p256 EC ec_paramgen_curve:P-256 && issue p256 ca "$san"
key p384 EC ec_paramgen_curve:P-384 && issue p384 ca "$san"
key p521 EC ec_paramgen_curve:P-521 && issue p521 ca "$san"
key secp256k1 EC ec_paramgen_curve:secp256k1 && issue secp256k1 ca "$san"
key ed25519 ED25519 && issue ed25519 ca "$san"
key ed448 ED448 && issue ed448 ca "$san"

# ---- signatures of the authority
issue by-rsa ca-rsa "$san"
issue by-rsa-sha1 ca-rsa "$san" -sha1
issue by-rsa-sha512 ca-rsa "$san" -sha512
issue by-rsa-pss ca-rsa "$san" -sigopt rsa_padding_mode:pss
issue by-p256-sha512 ca "$san" -sha512
issue by-p521 ca-p521 "$san"
issue by-ed25519 ca-ed25519 "$san"
issue by-plain ca-plain "$san"
issue by-expired ca-expired "$san"
issue by-constrained ca-constrained "$san"
issue by-twin ca-twin "$san"

# ---- names
issue common-name ca 'basicConstraints=CA:FALSE\n'
subject=/CN=Localhost issue common-name-case ca 'basicConstraints=CA:FALSE\n'
subject=/CN=elsewhere issue other-common-name ca 'basicConstraints=CA:FALSE\n'
issue other-name ca 'subjectAltName=DNS:db.example\n'
issue other-name-and-common-name ca 'subjectAltName=DNS:db.example\n'
issue address ca 'subjectAltName=IP:127.0.0.1\n'
issue address-and-name ca 'subjectAltName=IP:127.0.0.1,DNS:localhost\n'
issue upper-case ca 'subjectAltName=DNS:LOCALHOST\n'
issue wildcard ca 'subjectAltName=DNS:*.example.test\n'
issue partial-wildcard ca 'subjectAltName=DNS:d*.example.test\n'
issue underscore ca 'subjectAltName=DNS:my_db\n'
issue mail ca 'subjectAltName=email:a@example.test\n'
subject=/O=nothing issue no-name ca 'basicConstraints=CA:FALSE\n'

# ---- times
dated expired ca 20200101000000Z 20210101000000Z "$san"
dated future ca 21100101000000Z 21200101000000Z "$san"

# ---- extensions
issue client-only ca "${san}extendedKeyUsage=clientAuth\n"
issue server-only ca "${san}extendedKeyUsage=serverAuth\n"
issue no-signatures ca "${san}keyUsage=critical,keyAgreement\n"
issue unknown-critical ca "${san}1.2.3.4=critical,DER:05:00\n"
issue is-authority ca "${san}basicConstraints=critical,CA:TRUE\n"
issue zero-serial ca "$san" -set_serial 0
issue long-serial ca "$san" -set_serial 0x7fffffffffffffffffffffffffffffffffffffffffffffff
key version-1 RSA rsa_keygen_bits:2048
openssl req -new -key version-1.key -subj /CN=localhost | openssl x509 -req -CA ca.crt -CAkey ca.key \
  "${valid[@]}" -out version-1.crt 2>/dev/null

# ---- signed by themselves
key self EC ec_paramgen_curve:P-256 && root self "${san}basicConstraints=CA:FALSE\n"
key self-authority EC ec_paramgen_curve:P-256 && root self-authority "${san}basicConstraints=critical,CA:TRUE\n"

# ---- chains
issue intermediate ca "$authority"
issue below intermediate "$san"
cat below.crt intermediate.crt >below-with-intermediate.crt
cp below.key below-with-intermediate.key
cat below.crt intermediate.crt ca.crt >below-with-root.crt
cp below.key below-with-root.key
cat below.crt ca.crt intermediate.crt >below-in-disorder.crt
cp below.key below-in-disorder.key

# ---- PostgreSQL itself, in the check's network
for algorithm in p256 ed25519 p521 rsa-2048; do
  cp "$algorithm.key" "own-db-$algorithm.key"
  issue "own-db-$algorithm" ca 'subjectAltName=DNS:own-db\n'
done

# ---- clients
key client EC ec_paramgen_curve:P-256 && subject=/CN=certificate issue client ca 'extendedKeyUsage=clientAuth\n'
key client-p521 EC ec_paramgen_curve:P-521 && subject=/CN=certificate issue client-p521 ca 'extendedKeyUsage=clientAuth\n'
key client-rsa RSA rsa_keygen_bits:2048 && subject=/CN=certificate issue client-rsa ca 'extendedKeyUsage=clientAuth\n'
openssl rsa -in client-rsa.key -traditional -out client-rsa-pkcs1.key 2>/dev/null
cp client-rsa.crt client-rsa-pkcs1.crt
openssl ec -in client.key -out client-sec1.key 2>/dev/null
cp client.crt client-sec1.crt
key client-ed25519 ED25519 && subject=/CN=certificate issue client-ed25519 ca 'extendedKeyUsage=clientAuth\n'
subject=/CN=certificate issue client-of-another ca-twin 'extendedKeyUsage=clientAuth\n'
openssl pkcs8 -topk8 -in client.key -passout pass:secret -out client-encrypted.key
cp client.crt client-encrypted.crt

python3 - "$here/certificates.json" <<'END'
import json, pathlib, sys
names = sorted(path.stem for path in pathlib.Path().glob("*.crt"))
read = lambda path: pathlib.Path(path).read_text()
pairs = {name: {"certificate": read(f"{name}.crt"), "key": read(f"{name}.key")} for name in names}
pathlib.Path(sys.argv[1]).write_text(json.dumps(pairs, indent=1) + "\n")
END
