# What could not be read -> why, and which file or program spoke of a group. The inventory tells both.
$Unread = @{}
$ToldBy = @{}

# The certificates that Windows itself serves HTTPS with: address, or host name, and port ->
# thumbprint. Both are found by their form: the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = [ordered]@{}
    $Place = ''
    $global:LASTEXITCODE = 0
    $Lines = @(netsh http show sslcert)
    foreach ($Line in $Lines) {
        if ($Line -match '\s(\S+:\d{1,5})\s*$') {
            $Place = $Matches[1]
        }
        elseif ($Place -and $Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Place] = $Matches[0].ToUpperInvariant()
        }
    }
    if ($global:LASTEXITCODE -ne 0 -and $Thumbprints.Count -eq 0) {
        throw ('netsh answered {0}: {1}' -f $global:LASTEXITCODE, ($Lines -join ' ').Trim())
    }
    $Thumbprints
}

# The same, or nothing where netsh could not be asked.
function Get-Https {
    try {
        Get-HttpCertificate
    }
    catch {
        $Unread['https'] = $_.Exception.GetBaseException().Message
    }
}

# The thumbprint served on a port: at this address if it is bound there, else at any.
function Get-PortCertificate {
    param($Https, [string]$Port, [string]$Address = '0.0.0.0')
    if ($null -eq $Https) {
        throw ('what Windows serves on port {0} could not be read: {1}' -f $Port, $Unread['https'])
    }
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

# What an XProtect server wrote into its configuration file, or what it uses without one. The path
# ends at an attribute or at text(), whose value can be read. A file that is cut short is an error.
function Get-Setting {
    param([string]$Path, [string]$XPath, [string]$Default = '')
    if ($Path -and (Test-Path -LiteralPath $Path)) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            return $Found.Node.Value.Trim()
        }
    }
    $Default
}

# The configuration files of the XProtect servers. That of the mobile server lies beside its
# program, which the registry names, or names the folder of.
function Get-ConfigurationFile {
    $Mobile = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Mobile Server' -Name 'INSTALLATIONFOLDER')
    if ($Mobile -and -not $Mobile.EndsWith('.exe')) {
        $Mobile = '{0}\VideoOS.MobileServer.Service.exe' -f $Mobile.TrimEnd('\', '/')
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
    param($Https, $Files)
    if ($Files.Mobile -and -not (Test-Path -LiteralPath $Files.Mobile)) {
        throw ('{0}, which the registry names, is not there' -f $Files.Mobile)
    }
    $Place = '/configuration/HttpSecureMetaChannel/Address/add[@key="{0}"]/@value'
    $Port = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Port') -Default '8082'
    $Address = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Ip') -Default '+'
    $ToldBy['mobile streaming media'] = 'http.sys, port {0}' -f $Port
    Get-PortCertificate -Https $Https -Port $Port -Address $Address.Replace('+', '0.0.0.0')
}

# A certificate in a configuration file of the recording server, by its element: nothing where the
# element is not there, 'off', a thumbprint, or 'unknown' where it is on and names none.
function Get-RecorderCertificate {
    param([string]$File, [string]$Element)
    $Enabled = Get-Setting -Path $File -XPath ('{0}/@enabled' -f $Element)
    $Hash = (Get-Setting -Path $File -XPath ('{0}/@certificateHash' -f $Element)) -replace '[^0-9A-Fa-f]', ''
    if ($Enabled -eq 'false') {
        return 'off'
    }
    if ($Hash) {
        return $Hash.ToUpperInvariant()
    }
    if ($Enabled -eq 'true') {
        return 'unknown'
    }
}

# The certificate that the recording server streams with.
function Get-MediaCertificate {
    param($Https, $Files)
    $ToldBy['streaming media'] = 'RecorderConfig.xml'
    Get-RecorderCertificate -File $Files.Recording -Element '/recorderconfig/webserver/encryption' | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the group server: Windows serves each of its services on a port, and the
# recording server has it in its configuration, too. Where they differ, nobody can say which one the
# group uses.
function Get-ServerCertificate {
    param($Https, $Files)
    $Told = [ordered]@{}
    $Said = Get-RecorderCertificate -File $Files.Recording -Element '//serverEncryption'
    if ($Said) {
        $Told['RecorderConfig.xml'] = $Said
    }
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port/text()' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port/text()' -Default '9000'
    if ($null -ne $Https -or -not $Said -or (Test-Path -LiteralPath $Files.Management)) {
        foreach ($Port in @($Recording, $Management, '8990', '22337')) {
            $Found = Get-PortCertificate -Https $Https -Port $Port
            if ($Found) {
                $Told[('http.sys, port {0}' -f $Port)] = $Found
            }
        }
    }
    $ToldBy['server'] = @($Told.Keys | ForEach-Object -Process { '{0}: {1}' -f $_, $Told[$_] }) -join '; '
    $Named = @($Told.Values | Where-Object -FilterScript { $_ -ne 'unknown' } | Sort-Object -Unique)
    if ($Named.Count -gt 1 -or ($Named.Count -eq 0 -and $Told.Count -gt 0)) {
        return 'unknown'
    }
    $Named | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the event server. Its configuration says whether it encrypts; with which one it
# says only where it names a thumbprint, or where Windows serves its port.
function Get-EventCertificate {
    param($Https, $Files)
    $ToldBy['event server'] = 'ServiceEndpoints.xml'
    $Enabled = Get-Setting -Path $Files.Event -XPath '//*[local-name()="CertificateEnabled"]/text()'
    if ($Enabled -ne 'true') {
        return
    }
    if ([System.IO.File]::ReadAllText($Files.Event) -match '\b[0-9A-Fa-f]{40}\b') {
        return $Matches[0].ToUpperInvariant()
    }
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Found) {
        $ToldBy['event server'] = 'http.sys, port 22331'
        return $Found
    }
    'unknown'
}

# The certificates that the XProtect services really use: certificate group -> thumbprint, or
# 'unknown' where a service encrypts and does not say with which one, or where it can't be read.
function Get-CertificateInUse {
    $Unread.Clear()
    $ToldBy.Clear()
    $Https = Get-Https
    $Files = Get-ConfigurationFile
    $Looks = @{
        'server' = { Get-ServerCertificate -Https $Https -Files $Files }
        'streaming media' = { Get-MediaCertificate -Https $Https -Files $Files }
        'mobile streaming media' = { Get-MobileCertificate -Https $Https -Files $Files }
        'event server' = { Get-EventCertificate -Https $Https -Files $Files }
    }
    $InUse = @{}
    foreach ($Group in $Looks.Keys) {
        try {
            $Found = & $Looks[$Group]
        }
        catch {
            $Unread[$Group] = $_.Exception.GetBaseException().Message
            $Found = 'unknown'
        }
        if ($Found) {
            $InUse[$Group] = $Found
        }
        else {
            $ToldBy.Remove($Group)
        }
    }
    $InUse
}

# Why something could not be read, in brackets, or nothing.
function Get-Why {
    param([string]$What)
    if ($Unread.ContainsKey($What)) {
        ' ({0})' -f $Unread[$What]
    }
}
