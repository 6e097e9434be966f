# part: certificate-in-use

# part: configurator-program

# What else of this computer may use a certificate of LocalMachine\My: what -> thumbprint.
function Get-OtherUse {
    $Uses = @{}
    $Desktop = [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp', 'SSLCertificateSHA1Hash', $null)
    if ($Desktop -is [byte[]]) {
        $Uses['Remote Desktop'] = [System.BitConverter]::ToString($Desktop).Replace('-', '')
    }
    $Sql = 'HKLM:\SOFTWARE\Microsoft\Microsoft SQL Server'
    if (Test-Path -LiteralPath $Sql) {
        foreach ($Instance in @(Get-ChildItem -LiteralPath $Sql)) {
            $Key = 'Microsoft\Microsoft SQL Server\{0}\MSSQLServer\SuperSocketNetLib' -f $Instance.PSChildName
            $Uses[('SQL Server {0}' -f $Instance.PSChildName)] = [string](Get-RegistryValue -Key $Key -Name 'Certificate')
        }
    }
    $Listeners = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Listener'
    if (Test-Path -LiteralPath $Listeners) {
        foreach ($Listener in @(Get-ChildItem -LiteralPath $Listeners)) {
            $Key = 'Microsoft\Windows\CurrentVersion\WSMAN\Listener\{0}' -f $Listener.PSChildName
            $Uses[('WinRM {0}' -f $Listener.PSChildName)] = [string](Get-RegistryValue -Key $Key -Name 'certThumbprint')
        }
    }
    $Uses
}

# Everything that uses a certificate here, as far as can be seen: what -> thumbprint, or 'unknown'.
# Of an XProtect that is not installed any more only files are left, which use nothing.
function Get-Use {
    $Uses = @{}
    $InUse = Get-CertificateInUse
    if (Test-Installed) {
        foreach ($Group in $InUse.Keys) {
            $Uses[$Group] = $InUse[$Group]
        }
    }
    $Https = Get-Https
    if ($null -eq $Https) {
        $Uses['what Windows serves by HTTPS'] = 'unknown'
    }
    else {
        foreach ($Place in $Https.Keys) {
            $Uses[$Place] = $Https[$Place]
        }
    }
    try {
        $Others = Get-OtherUse
        foreach ($What in $Others.Keys) {
            $Uses[$What] = ($Others[$What] -replace '[^0-9A-Fa-f]', '').ToUpperInvariant()
        }
    }
    catch {
        $Uses[('what else uses certificates ({0})' -f $_.Exception.GetBaseException().Message)] = 'unknown'
    }
    $Uses
}

# What uses a certificate, or may do so because it does not say what it uses; without the groups of
# which a person says that they do not.
function Get-UserOf {
    param([string]$Label, [string[]]$ByHand = @())
    $Uses = Get-Use
    foreach ($What in @($Uses.Keys | Sort-Object)) {
        if ($Uses[$What] -eq $Label) {
            '{0} uses it' -f $What
        }
        elseif ($Uses[$What] -eq 'unknown' -and $ByHand -notcontains $What) {
            '{0} does not say what it uses{1}' -f $What, (Get-Why -What $What)
        }
    }
}
