# Functions that win over the cmdlets of PowerShell where these would look at another computer than
# the simulated one. Each has the parameters that the scripts use, and falls through to the real
# cmdlet for files. What a function does not know fails.

# Before a script runs: what this Windows does not have, and files that tell their version (the
# text of the file, because a program of Windows can not be read here).
function Initialize-Windows {
    foreach ($Name in [Windows.Machine]::Here.MissingCommands -ne 'Cert:') {
        Microsoft.PowerShell.Management\Remove-Item -LiteralPath "function:$Name"
    }
    Update-TypeData -TypeName 'System.IO.FileInfo' -MemberName 'VersionInfo' -MemberType ScriptProperty -Force -Value {
        $Version = [version][Windows.StandIns.File]::ReadAllText($this.FullName)
        [pscustomobject]@{ FileMajorPart = $Version.Major; FileMinorPart = $Version.Minor; FileVersion = "$Version" }
    }
}

# ------------------------------------------------------- Cert: and the registry

function Test-Path {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [string]$PathType)
    $Wanted = $Path + $LiteralPath
    if ($Wanted -match '^Cert:\\(\w+)\\(\w+)\\(\w+)$') {
        return $null -ne [Windows.StandIns.Stores]::Find($Matches[1], $Matches[2], $Matches[3])
    }
    if ($Wanted -match '^Cert:') {
        return $true
    }
    if ($Wanted -match '^(HK(LM|CU):|Registry::)') {
        return [Windows.StandIns.Registry]::HasKey($Wanted)
    }
    if ($LiteralPath) {  # much faster than the cmdlet, which is asked hundreds of times
        return [Windows.Machine]::IsThere($LiteralPath, $PathType)
    }
    Microsoft.PowerShell.Management\Test-Path @PSBoundParameters
}

function Get-ChildItem {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [string]$Filter, [switch]$File, [switch]$Directory, [switch]$Recurse)
    $Wanted = $Path + $LiteralPath
    if ($Wanted -match '^Cert:' -and [Windows.Machine]::Here.MissingCommands -contains 'Cert:') {
        throw "Cannot find drive. A drive with the name 'Cert' does not exist."
    }
    if ($Wanted -match '^Cert:\\(\w+)\\(\w+)\\?$') {
        return [Windows.StandIns.Stores]::Show($Matches[1], $Matches[2])
    }
    if ($Wanted -match '^HK(LM|CU):') {
        if (-not [Windows.StandIns.Registry]::HasKey($Wanted)) {
            Write-Error -Message "Cannot find path '$Wanted' because it does not exist." -Category ObjectNotFound
        }
        foreach ($Name in [Windows.StandIns.Registry]::SubKeys($Wanted)) {
            [pscustomobject]@{ PSChildName = $Name; PSPath = "$Wanted\$Name" }
        }
        return
    }
    Microsoft.PowerShell.Management\Get-ChildItem @PSBoundParameters
}

function Get-Item {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [string]$Stream)
    $Wanted = $Path + $LiteralPath
    if ($Wanted -match '^Cert:\\(\w+)\\(\w+)\\(\w+)$') {
        $Found = [Windows.StandIns.Stores]::Find($Matches[1], $Matches[2], $Matches[3])
        if ($null -eq $Found) {
            Write-Error -Message "Cannot find path '$Wanted' because it does not exist." -Category ObjectNotFound
        }
        return $Found
    }
    if ($Stream) {  # a stream of a file lies beside it, under the name that Windows gives it
        $null = Microsoft.PowerShell.Management\Get-Item -LiteralPath "${Wanted}:$Stream"
        return [pscustomobject]@{ FileName = $Wanted; Stream = $Stream }
    }
    Microsoft.PowerShell.Management\Get-Item @PSBoundParameters
}

function Get-ItemProperty {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [Parameter(Position = 1)][string]$Name)
    $Wanted = $Path + $LiteralPath
    if ($Wanted -match '^HK(LM|CU):') {
        return [pscustomobject][Windows.StandIns.Registry]::Values($Wanted)
    }
    Microsoft.PowerShell.Management\Get-ItemProperty @PSBoundParameters
}

function Remove-Item {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [switch]$DeleteKey, [switch]$Force)
    $Wanted = $Path + $LiteralPath
    if ($Wanted -match '^Cert:') {
        $Found = Get-Item -LiteralPath $Wanted
        if ($Found -and $PSCmdlet.ShouldProcess("Item: $Wanted", 'Remove certificate')) {
            [Windows.StandIns.Stores]::Remove($Found, $DeleteKey)
        }
        return
    }
    if ($PSCmdlet.ShouldProcess($Wanted, 'Remove File')) {
        [Windows.StandIns.File]::Delete($Wanted)
    }
}

# Wildcards in -FilePath are taken as wildcards. [G]
function Import-PfxCertificate {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory)][string]$FilePath, [Parameter(Mandatory)][string]$CertStoreLocation, [securestring]$Password)
    $Files = @(Microsoft.PowerShell.Management\Get-Item -Path $FilePath -ErrorAction SilentlyContinue)
    if ($Files.Count -ne 1) {
        throw [System.IO.FileNotFoundException]::new('The PFX file could not be found.')
    }
    $Store = $CertStoreLocation -replace '^Cert:\\', ''
    if ($PSCmdlet.ShouldProcess("Item: $FilePath Destination: $Store", 'Import certificate')) {
        $Plain = [System.Net.NetworkCredential]::new('', $Password).Password
        [Windows.StandIns.Pfx]::Import($Files[0].FullName, $Store, $Plain)
    }
}

# ------------------------------------------------------- access lists

# Without -Audit the rules of the audit are not read. [C]
function Get-Acl {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [switch]$Audit)
    $Sections = [System.Security.AccessControl.AccessControlSections]'Access, Owner, Group'
    if ($Audit) {
        $Sections = [System.Security.AccessControl.AccessControlSections]'All'
    }
    $Wanted = $Path + $LiteralPath
    if (Test-Path -LiteralPath $Wanted -PathType Container) {
        return [Windows.StandIns.DirectorySecurity]::new($Wanted, $Sections)
    }
    [Windows.StandIns.FileSecurity]::new($Wanted, $Sections)
}

function Set-Acl {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath, [Parameter(Position = 1)][object]$AclObject)
    $Wanted = $Path + $LiteralPath
    if ($PSCmdlet.ShouldProcess($Wanted, 'Set-Acl')) {
        [Windows.StandIns.Acls]::Set($Wanted, $AclObject, $true)
    }
}

# ------------------------------------------------------- system and services

function Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$ClassName)
    $Here = [Windows.Machine]::Here
    switch ($ClassName) {
        'Win32_OperatingSystem' {
            [pscustomobject]@{ Caption = "$([Windows.Machine]::Caption) "; BuildNumber = "$([Windows.Machine]::Build)"; Version = "10.0.$([Windows.Machine]::Build)" }
        }
        'Win32_Service' {
            foreach ($One in $Here.Services) {
                $Program = $One.PathName.Replace('<disk>', [Windows.Machine]::Visit.Disk)
                [pscustomobject]@{ Name = $One.Name; DisplayName = $One.DisplayName; StartName = $One.StartName; State = $One.State; PathName = $Program }
            }
        }
        'Win32_NetworkAdapterConfiguration' {
            [pscustomobject]@{ IPEnabled = $false; IPAddress = $null }
            [pscustomobject]@{ IPEnabled = $true; IPAddress = $Here.Addresses }
        }
        'Win32_Process' {
            if ([Windows.StandIns.ServerConfigurator]::IsRunning) {
                [pscustomobject]@{ Name = 'ServerConfigurator.exe'; ProcessId = 4711 }
            }
        }
        default {
            throw "The class $ClassName is not there."
        }
    }
}

function Get-Service {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Name)
    $Found = [Windows.Machine]::Here.Services.Where({ $_.Name -eq $Name -or $_.DisplayName -eq $Name })
    if (-not $Found) {
        Write-Error -Message "Cannot find any service with service name '$Name'." -Category ObjectNotFound
    }
    foreach ($One in $Found) {
        [pscustomobject]@{ Name = $One.Name; DisplayName = $One.DisplayName; Status = $One.State }
    }
}

function Start-Service {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)][string]$Name)
    $Found = [Windows.Machine]::Here.Services.Where({ $_.Name -eq $Name })
    if (-not $Found) {
        Write-Error -Message "Cannot find any service with service name '$Name'." -Category ObjectNotFound
    }
    elseif ($PSCmdlet.ShouldProcess($Name, 'Start-Service')) {
        [Windows.Machine]::NeedElevation()
        if ([Windows.Machine]::Visit.Stopped) {
            throw "Service '$Name' cannot be started."
        }
        [Windows.Machine]::Wait([timespan]::FromSeconds(5))
        [Windows.Machine]::Change("start $Name", { $Found[0].State = 'Running' })
    }
}

function Get-Process {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Name)
    $Found = [Windows.StandIns.Process]::GetProcessesByName($Name)
    if (-not $Found) {
        Write-Error -Message "Cannot find a process with the name ""$Name""." -Category ObjectNotFound
    }
    $Found
}

function Get-ExecutionPolicy {
    [Windows.Machine]::Here.ExecutionPolicy
}

# ------------------------------------------------------- programs

function netsh {
    if ("$args" -ne 'http show sslcert') {
        throw "netsh $args"
    }
    [Windows.StandIns.Netsh]::Show()
}

function certreq {
    if ("$($args[0..2])" -eq '-new -q -machine') {
        return [Windows.StandIns.Certreq]::Ask($args[3], $args[4])
    }
    if ("$($args[0..2])" -eq '-accept -q -machine') {
        return [Windows.StandIns.Certreq]::Accept($args[3])
    }
    throw "certreq $args"
}

# ------------------------------------------------------- tasks

function Get-ScheduledTask {
    [CmdletBinding()]
    param([string]$TaskName, [string]$TaskPath)
    $Found = [Windows.Machine]::Here.Tasks.Where({ $_.Name -eq $TaskName })
    if (-not $Found) {
        Write-Error -Message "No MSFT_ScheduledTask objects found with property 'TaskName' equal to '$TaskName'." -Category ObjectNotFound
    }
    $Found
}

function Get-ScheduledTaskInfo {
    [CmdletBinding()]
    param([string]$TaskName, [string]$TaskPath)
    [pscustomobject]@{ LastTaskResult = (Get-ScheduledTask @PSBoundParameters).LastResult }
}

function New-ScheduledTaskAction { param([string]$Execute, [string]$Argument) $PSBoundParameters }
function New-ScheduledTaskTrigger { param([switch]$Daily, [datetime]$At) @{ At = "$($At.TimeOfDay)" } }
function New-ScheduledTaskPrincipal { param([string]$UserId, [string]$LogonType, [string]$RunLevel) $PSBoundParameters }
function New-ScheduledTaskSettingsSet {
    param([switch]$StartWhenAvailable, [switch]$AllowStartIfOnBatteries, [switch]$DontStopIfGoingOnBatteries)
    $PSBoundParameters
}

# A name of a task may not hold these signs (MS-TSCH 2.3.11). [C]
function Register-ScheduledTask {
    [CmdletBinding()]
    param([string]$TaskName, [string]$TaskPath, [string]$Xml, [object]$Action, [object]$Trigger, [object]$Principal, [object]$Settings, [switch]$Force)
    if ($TaskName -match '[:/\\]') {
        throw 'The filename, directory name, or volume label syntax is incorrect.'
    }
    [Windows.Machine]::NeedElevation()
    $Task = [Windows.RegisteredTask]@{ Name = $TaskName; Xml = $Xml }
    foreach ($Part in @($Action, $Trigger, $Principal, $Settings) -ne $null) {
        foreach ($Name in $Part.Keys) {
            $Task.Parts[$Name] = "$($Part[$Name])"
        }
    }
    [Windows.Machine]::Change("task $TaskName", {
        [void][Windows.Machine]::Here.Tasks.RemoveAll({ $args[0].Name -eq $TaskName })
        [Windows.Machine]::Here.Tasks.Add($Task)
    })
}

# It asks, too, unless it is told not to. [C]
function Unregister-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([string]$TaskName, [string]$TaskPath)
    if ($PSCmdlet.ShouldProcess($TaskName)) {
        [Windows.Machine]::NeedElevation()
        [Windows.Machine]::Change("no task $TaskName", { [void][Windows.Machine]::Here.Tasks.RemoveAll({ $args[0].Name -eq $TaskName }) })
    }
}
