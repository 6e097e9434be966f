# The SID of an account. A SID is taken as it is: it means the same in every language of Windows, as
# the names of its own accounts do not.
function Get-Sid {
    param([string]$Account)
    $Known = @{
        'LOCALSYSTEM' = 'S-1-5-18'
        '.\LOCALSYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\SYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\LOCALSERVICE' = 'S-1-5-19'
        'NTAUTHORITY\NETWORKSERVICE' = 'S-1-5-20'
    }
    $Plain = $Account.Replace(' ', '').ToUpperInvariant()
    if ($Known.ContainsKey($Plain)) {
        return $Known[$Plain]
    }
    if ($Account -like 'S-1-*') {
        return $Account
    }
    if ($Account -like '.\*') {
        $Account = '{0}\{1}' -f $env:COMPUTERNAME, $Account.Substring(2)
    }
    try {
        $Name = [System.Security.Principal.NTAccount]::new($Account)
        $Name.Translate([System.Security.Principal.SecurityIdentifier]).Value
    }
    catch {
        throw ('The account {0} is unknown on {1}.' -f $Account, $ComputerName)
    }
}
