# part: sid

# A well-known SID stays a SID, which means the same in every language; other accounts get a name.
function Get-AccountName {
    param([string]$Sid)
    if ($Sid -notlike 'S-1-5-21-*') {
        return $Sid
    }
    try {
        [System.Security.Principal.SecurityIdentifier]::new($Sid).Translate([System.Security.Principal.NTAccount]).Value
    }
    catch {
        $Sid
    }
}

# The account of a service, named like those that may read a private key.
function Get-ServiceAccount {
    param([string]$Account)
    try {
        Get-AccountName -Sid (Get-Sid -Account $Account)
    }
    catch {
        $Account
    }
}

# The services of XProtect, with the accounts that they run as.
function Get-XProtectService {
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        if (('{0} {1}' -f $Service.Name, $Service.DisplayName) -match 'Milestone|XProtect|VideoOS') {
            [ordered]@{
                name = [string]$Service.Name
                display = [string]$Service.DisplayName
                account = [string](Get-ServiceAccount -Account $Service.StartName)
                state = [string]$Service.State
            }
        }
    }
}

# Where each XProtect component of this computer looks for the management server.
function Get-RegisteredAddress {
    $Files = Get-ConfigurationFile
    $Addresses = [ordered]@{
        'recording server' = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address'
        'recording server, identity provider' = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/authorizationserveraddress'
        'management server, identity provider' = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/AuthorizationServerUri'
        'mobile server' = Get-Setting -Path $Files.Mobile -XPath '/configuration/ManagementServer/Address/add[@key="Ip"]/@value'
        'event server' = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Event Server' -Name 'ManagementServerAddress')
        'log server' = [string](Get-RegistryValue -Key 'Milestone\XProtect Log Server' -Name 'ManagementServerUrl')
        'API gateway' = [string](Get-RegistryValue -Key 'VideoOS\GatewayService' -Name 'ServiceUrl')
    }
    foreach ($Component in @($Addresses.Keys)) {
        if (-not $Addresses[$Component]) {
            $Addresses.Remove($Component)
        }
    }
    $Addresses
}
