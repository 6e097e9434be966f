# The certificates that Windows itself serves HTTPS with: address and port -> thumbprint. Both are
# found by their form, because the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = [ordered]@{}
    $Place = ''
    foreach ($Line in @(netsh http show sslcert)) {
        if ($Line -match '\s(\S+:\d{1,5})\s*$') {
            $Place = $Matches[1]
        }
        elseif ($Place -and $Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Place] = $Matches[0].ToUpperInvariant()
        }
    }
    $Thumbprints
}

# The thumbprint served on a port: at this address if it is bound there, else at any.
function Get-PortCertificate {
    param($Https, [string]$Port, [string]$Address = '0.0.0.0')
    $Wanted = '{0}:{1}' -f $Address, $Port
    if ($Https.Contains($Wanted)) {
        return $Https[$Wanted]
    }
    foreach ($Place in $Https.Keys) {
        if ($Place.EndsWith((':{0}' -f $Port))) {
            return $Https[$Place]
        }
    }
}

# A value in the registry of this computer, or nothing.
function Get-RegistryValue {
    param([string]$Key, [string]$Name)
    [Microsoft.Win32.Registry]::GetValue(('HKEY_LOCAL_MACHINE\SOFTWARE\{0}' -f $Key), $Name, $null)
}

# What an XProtect server wrote into its configuration file, or what it uses without one.
function Get-Setting {
    param([string]$Path, [string]$XPath, [string]$Default = '')
    if ($Path -and (Test-Path -LiteralPath $Path)) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            return $Found.Node.InnerText
        }
    }
    $Default
}

# The configuration files of the XProtect servers. That of the mobile server lies beside its
# program, which the registry names, or names the folder of.
function Get-ConfigurationFile {
    $Mobile = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Mobile Server' -Name 'INSTALLATIONFOLDER')
    if ($Mobile -and -not $Mobile.EndsWith('.exe')) {
        $Mobile = Join-Path -Path $Mobile -ChildPath 'VideoOS.MobileServer.Service.exe'
    }
    if ($Mobile) {
        $Mobile = '{0}.config' -f $Mobile
    }
    @{
        Management = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Management Server\ServerConfig.xml'
        Recording = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Recording Server\RecorderConfig.xml'
        Event = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Event Server\config\ServiceEndpoints.xml'
        Mobile = $Mobile
    }
}

# The certificate of the mobile server: its configuration says address and port.
function Get-MobileCertificate {
    param($Https, [string]$File)
    $Place = '/configuration/HttpSecureMetaChannel/Address/add[@key="{0}"]/@value'
    $Port = Get-Setting -Path $File -XPath ($Place -f 'Port') -Default '8082'
    $Address = Get-Setting -Path $File -XPath ($Place -f 'Ip') -Default '+'
    Get-PortCertificate -Https $Https -Port $Port -Address $Address.Replace('+', '0.0.0.0')
}

# The certificate of the group server: each of its services has a port. Where they differ, nobody can
# say which one the group uses.
function Get-ServerCertificate {
    param($Https, $Files)
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port' -Default '9000'
    $Used = ''
    foreach ($Port in @($Recording, $Management, '8990', '22337')) {
        $Found = Get-PortCertificate -Https $Https -Port $Port
        if ($Used -and $Found -and $Found -ne $Used) {
            return 'unknown'
        }
        if ($Found) {
            $Used = $Found
        }
    }
    $Used
}

# The certificate of the event server. Its configuration says whether it encrypts; with which one it
# says only where it names a thumbprint, or where Windows serves its port.
function Get-EventCertificate {
    param($Https, [string]$File)
    $Enabled = Get-Setting -Path $File -XPath '//*[local-name()="CertificateEnabled"]'
    if ($Enabled.Trim() -ne 'true') {
        return ''
    }
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Found) {
        return $Found
    }
    if ([System.IO.File]::ReadAllText($File) -match '\b[0-9A-Fa-f]{40}\b') {
        return $Matches[0].ToUpperInvariant()
    }
    'unknown'
}

# The certificates that the XProtect services really use: certificate group -> thumbprint, or
# 'unknown' where a service encrypts and does not say with which one.
function Get-CertificateInUse {
    $Https = Get-HttpCertificate
    $Files = Get-ConfigurationFile
    $Media = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webserver/encryption/@certificateHash'
    $Found = @{
        'server' = Get-ServerCertificate -Https $Https -Files $Files
        'streaming media' = ($Media -replace '[^0-9A-Fa-f]', '').ToUpperInvariant()
        'mobile streaming media' = Get-MobileCertificate -Https $Https -File $Files.Mobile
        'event server' = Get-EventCertificate -Https $Https -File $Files.Event
    }
    $InUse = @{}
    foreach ($Group in $Found.Keys) {
        if ($Found[$Group]) {
            $InUse[$Group] = $Found[$Group]
        }
    }
    $InUse
}
