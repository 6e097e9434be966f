# The certificates that Windows itself serves HTTPS with: port -> thumbprint. Address and hash are
# found by their form, because the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = @{}
    $Port = ''
    foreach ($Line in @(netsh http show sslcert)) {
        if ($Line -match '\s\S+:(\d{1,5})\s*$') {
            $Port = $Matches[1]
        }
        elseif ($Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Port] = $Matches[0].ToUpperInvariant()
        }
    }
    $Thumbprints
}

# What an XProtect server wrote into its configuration file, or nothing.
function Get-Setting {
    param([string]$File, [string]$XPath)
    $Path = Join-Path -Path $env:ProgramData -ChildPath $File
    if (Test-Path -LiteralPath $Path) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            $Found.Node.InnerText
        }
    }
}

# The certificates that the XProtect services really use: certificate group -> thumbprint.
function Get-CertificateInUse {
    $Http = Get-HttpCertificate
    $InUse = @{}
    foreach ($Port in @('9001', '9000')) {
        if ($Http.ContainsKey($Port)) {
            $InUse['server'] = $Http[$Port]
        }
    }
    if ($Http.ContainsKey('8082')) {
        $InUse['mobile streaming media'] = $Http['8082']
    }
    $MediaFile = 'Milestone\XProtect Recording Server\RecorderConfig.xml'
    $Media = Get-Setting -File $MediaFile -XPath '/recorderconfig/webserver/encryption/@certificateHash'
    if ($Media -match '^[0-9A-Fa-f]{40}$') {
        $InUse['streaming media'] = ([string]$Media).ToUpperInvariant()
    }
    $EventsFile = 'Milestone\XProtect Event Server\config\ServiceEndpoints.xml'
    $Events = Get-Setting -File $EventsFile -XPath '//*[local-name()="CertificateEnabled"]'
    if ($Events -eq 'true' -and $Http.ContainsKey('22331')) {
        $InUse['event server'] = $Http['22331']
    }
    $InUse
}
