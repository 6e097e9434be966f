# inputs: begin
$NotBefore = ''
$NamePrefix = ''
# inputs: end
function Step-NewestCertificate {
    $Mine = [System.DateTimeOffset]::Parse($NotBefore, [System.Globalization.CultureInfo]::InvariantCulture).UtcDateTime
    foreach ($Certificate in @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My')) {
        if ($Certificate.FriendlyName.StartsWith($NamePrefix) -and $Certificate.NotBefore.ToUniversalTime() -gt $Mine) {
            throw ('A newer certificate is here already: {0}, {1}.' -f $Certificate.FriendlyName, $Certificate.Thumbprint)
        }
    }
    'no newer certificate is here'
}
