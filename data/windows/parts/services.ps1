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

# Where each XProtect component of this computer looks for the management server. What can't be read
# is told among what could not be read.
function Get-RegisteredAddress {
    $Files = Get-ConfigurationFile
    $Looks = [ordered]@{
        'recording server' = { Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address/text()' }
        'recording server, identity provider' = { Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/authorizationserveraddress/text()' }
        'management server, identity provider' = { Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/AuthorizationServerUri/text()' }
        'mobile server' = { Get-Setting -Path $Files.Mobile -XPath '/configuration/ManagementServer/Address/add[@key="Ip"]/@value' }
        'event server' = { Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Event Server' -Name 'ManagementServerAddress' }
        'log server' = { Get-RegistryValue -Key 'Milestone\XProtect Log Server' -Name 'ManagementServerUrl' }
        'API gateway' = { Get-RegistryValue -Key 'VideoOS\GatewayService' -Name 'ServiceUrl' }
        'incident manager' = { Get-RegistryValue -Key 'Milestone\XProtect Incident Manager' -Name 'ManagementServerAddress' }
    }
    $Addresses = [ordered]@{}
    foreach ($Component in $Looks.Keys) {
        $Found = '{0}' -f (Get-Look -What ('registered: {0}' -f $Component) -Look $Looks[$Component])
        if ($Found) {
            $Addresses[$Component] = $Found
        }
    }
    $Addresses
}

# The ports of the management server's web site, which somebody may have changed.
function Get-WebPort {
    $Ports = [ordered]@{}
    foreach ($Name in @('WebSitePort', 'WebSiteSecurePort')) {
        $Found = '{0}' -f (Get-Look -What $Name -Look { Get-RegistryValue -Key 'VideoOS\Installation\Server' -Name $Name })
        if ($Found) {
            $Ports[$Name] = $Found
        }
    }
    $Ports
}
