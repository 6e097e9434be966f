# part: sid

# The accounts that the named services of this computer run as; a service that is not here has none.
function Get-RunningAccount {
    param([string[]]$Names)
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        if ($Service.StartName -and ($Names -contains $Service.Name -or $Names -contains $Service.DisplayName)) {
            $Service.StartName
        }
    }
}

# Writes the access rules of a file and nothing else. Set-Acl would write its audit rules, too, which
# were not read, so it is the last way. .NET Framework has another method for it than PowerShell 7.
function Write-AccessRule {
    param([string]$Path, $Acl)
    $File = [System.IO.FileInfo]::new($Path)
    try {
        if ($PSVersionTable.PSEdition -eq 'Desktop') {
            $File.SetAccessControl($Acl)
        }
        else {
            [System.IO.FileSystemAclExtensions]::SetAccessControl($File, $Acl)
        }
    }
    catch {
        Set-Acl -LiteralPath $Path -AclObject $Acl
    }
}

# Lets an account read a private key: Read is what TLS needs. What others may do stays as it is.
function Grant-KeyRead {
    param([string]$Path, [string]$Account)
    $Sid = Get-Sid -Account $Account
    if (@(Get-KeyReader -Path $Path) -contains $Sid) {
        return ('{0} may read the private key already' -f $Account)
    }
    if (-not $PSCmdlet.ShouldProcess($Path, ('Let {0} read the private key' -f $Account))) {
        return ('{0} may not read the private key yet' -f $Account)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $Acl.AddAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    if (@(Get-KeyEntry -Path $Path -Kind 'Allow') -notcontains $Sid) {
        Add-Before -What ('Reader {0}' -f $Sid) -Was 'absent'
        Write-AccessRule -Path $Path -Acl $Acl
    }
    if (@(Get-KeyReader -Path $Path) -notcontains $Sid) {
        throw ('{0} still may not read {1}: look for an entry there that denies it.' -f $Account, $Path)
    }
    '{0} may read the private key now' -f $Account
}

# Takes the access away that Grant-KeyRead gave.
function Revoke-KeyRead {
    param([string]$Path, [string]$Sid)
    if (-not $PSCmdlet.ShouldProcess($Path, ('Take read access from {0}' -f $Sid))) {
        return ('{0} may still read the private key' -f $Sid)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $null = $Acl.RemoveAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    Write-AccessRule -Path $Path -Acl $Acl
    if (@(Get-KeyEntry -Path $Path -Kind 'Allow') -contains $Sid) {
        throw ('{0} may still read {1}.' -f $Sid, $Path)
    }
    Remove-Before -What ('Reader {0}' -f $Sid)
    '{0} may no longer read the private key' -f $Sid
}
