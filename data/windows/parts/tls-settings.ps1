# Versions of TLS that somebody switched on or off in the registry; others are as Windows has them.
function Get-TlsSetting {
    $Settings = [ordered]@{}
    foreach ($Version in @('TLS 1.0', 'TLS 1.1', 'TLS 1.2', 'TLS 1.3')) {
        foreach ($Side in @('Client', 'Server')) {
            $Key = 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\{0}\{1}' -f $Version, $Side
            $Enabled = [Microsoft.Win32.Registry]::GetValue($Key, 'Enabled', $null)
            $OffByDefault = [Microsoft.Win32.Registry]::GetValue($Key, 'DisabledByDefault', $null)
            $Name = '{0} {1}' -f $Version, $Side
            if ($Enabled -eq 0 -or $OffByDefault -eq 1) {
                $Settings[$Name] = 'off'
            }
            elseif ($null -ne $Enabled -or $null -ne $OffByDefault) {
                $Settings[$Name] = 'on'
            }
        }
    }
    $Strong = Get-RegistryValue -Key 'Microsoft\.NETFramework\v4.0.30319' -Name 'SchUseStrongCrypto'
    if ($Strong -eq 0) {
        $Settings['.NET strong cryptography'] = 'off'
    }
    elseif ($null -ne $Strong) {
        $Settings['.NET strong cryptography'] = 'on'
    }
    $Settings
}
