# part: notes

# part: certificate-in-use

# part: configurator-program

# What the exit codes of Server Configurator mean, as far as anybody has written it down:
# facts: Meanings windows/exit-codes code meaning

# What they mean where encryption is switched off, if that is something else.
# facts: MeaningsOff windows/exit-codes code off

# How a run ended by these codes; any other may have left anything behind.
# facts: Endings windows/exit-codes code ends

# Whether a certificate group names the certificate that it uses:
# facts: NamesIt xprotect/certificate-groups group names_it

# Whether this computer trusts a certificate of LocalMachine\My itself.
function Test-Trusted {
    param([string]$Label)
    $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
    $Chain.ChainPolicy.RevocationMode = 'NoCheck'
    $Chain.Build((Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Label)))
}

# Runs Server Configurator to its end, which may take 20 minutes: exit code and text.
function Invoke-ServerConfigurator {
    param([string]$Arguments)
    $Program = Find-Configurator
    if (-not $Program) {
        throw 'Server Configurator is not installed here: neither among the programs nor beside those of XProtect. What to do: install the XProtect server first, or carry the folder to the computer where it is.'
    }
    $Version = [version]('{0}.{1}' -f $Program.VersionInfo.FileMajorPart, $Program.VersionInfo.FileMinorPart)
    if ($Version -lt [version]'20.3') {
        throw ('Server Configurator {0} has no command line: it came with 2020 R3 (20.3). What to do: switch the group in its window.' -f $Version)
    }
    $Start = [System.Diagnostics.ProcessStartInfo]::new($Program.FullName, $Arguments)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [System.Diagnostics.Process]::Start($Start)
    $Reading = $Process.StandardOutput.ReadToEndAsync()
    $Until = [System.DateTime]::UtcNow.AddMinutes(20)
    while (-not $Process.WaitForExit(15000)) {
        if ([System.DateTime]::UtcNow -ge $Until) {
            throw 'Server Configurator still works after 20 minutes. What to do: let it end, then run this script again.'
        }
        Write-Host -Object 'Server Configurator works. It may take 20 minutes: leave this window open.'
    }
    $Text = ''
    if ($Reading.Wait(5000)) {
        $Text = $Reading.Result
    }
    @{
        Code = [string]$Process.ExitCode
        Text = $Text
    }
}

# What an exit code means, in the direction in which encryption was switched.
function Get-Meaning {
    param([string]$Code, [string]$Label)
    if (-not $Label -and $MeaningsOff[$Code]) {
        return $MeaningsOff[$Code]
    }
    if ($Meanings.ContainsKey($Code)) {
        return $Meanings[$Code]
    }
    'a code that nobody has explained. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
}

# The certificate groups that this computer has, as Server Configurator lists them.
function Get-GroupList {
    $Run = Invoke-ServerConfigurator -Arguments '/listcertificategroups'
    if ($Run.Code -ne '0') {
        throw ('Server Configurator could not list its groups and answered {0}: {1}.' -f $Run.Code, (Get-Meaning -Code $Run.Code -Label 'none'))
    }
    $Run.Text
}

# What a certificate group uses, in words.
function Get-Used {
    param([string]$Label)
    if ($Label -eq 'unknown') {
        return 'a certificate that it does not name'
    }
    if ($Label) {
        return $Label
    }
    'no certificate'
}

# What a certificate group uses now: thumbprint, nothing or 'unknown'.
function Get-GroupCertificate {
    param([string]$Group)
    '{0}' -f (Get-CertificateInUse)[$Group]
}

# What this kit gave to a group that encrypts and does not say with which certificate; else nothing.
# What can't be read, or contradicts itself, is not that.
function Get-Given {
    param([string]$Group, [string]$Now)
    if ($Now -eq 'unknown' -and $NamesIt[$Group] -ne 'yes' -and -not $Unread.ContainsKey($Group)) {
        '{0}' -f (Read-Note)[('given {0}' -f $Group)]
    }
}

# Whether a group uses a certificate, or none when the label is empty.
function Test-Uses {
    param([string]$Group, [string]$Label)
    $Now = Get-GroupCertificate -Group $Group
    ($Now -eq $Label -and $Now -ne 'unknown') -or ($Label -and (Get-Given -Group $Group -Now $Now) -eq $Label)
}

# The minutes that services get to start again: a management server takes long.
function Get-Patience {
    if (Test-Path -LiteralPath (Get-ConfigurationFile).Management) {
        return 10
    }
    2
}

# Waits until something is so, and says every 15 seconds what for; tells whether it became so.
# Services that restart say nothing for a while.
function Wait-Until {
    param([string]$What, [scriptblock]$Test)
    $Minutes = Get-Patience
    $Until = [System.DateTime]::UtcNow.AddMinutes($Minutes)
    $Rounds = 0
    while (-not (& $Test)) {
        if ([System.DateTime]::UtcNow -ge $Until) {
            return $false
        }
        if ($Rounds % 3 -eq 0) {
            Write-Host -Object ('Waiting until {0}, for {1} minutes at most.' -f $What, $Minutes)
        }
        $Rounds = $Rounds + 1
        [System.Threading.Thread]::Sleep(5000)
    }
    $true
}

# The services of XProtect, and the web server that it uses, which run now.
function Get-RunningService {
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        $Ours = ('{0} {1}' -f $Service.Name, $Service.DisplayName) -match 'Milestone|XProtect|VideoOS' -or @('W3SVC', 'WAS') -contains $Service.Name
        if ($Ours -and $Service.State -eq 'Running') {
            $Service.Name
        }
    }
}

# Those of these services that do not run.
function Get-Stopped {
    param([string[]]$Names)
    Get-CimInstance -ClassName Win32_Service | Where-Object -FilterScript { $Names -contains $_.Name -and $_.State -ne 'Running' }
}

# Lets services run again that ran before Server Configurator stopped them; names those that do not.
function Restore-Service {
    $Noted = '{0}' -f (Read-Note)['running services']
    if (-not $Noted -or $WhatIfPreference) {
        return
    }
    $Names = $Noted.Split('|')
    $Run = {
        foreach ($Service in @(Get-Stopped -Names $Names)) {
            try {
                Start-Service -Name $Service.Name
            }
            catch {
                $null = $_
            }
        }
        @(Get-Stopped -Names $Names).Count -eq 0
    }
    if (Wait-Until -What 'the services run again' -Test $Run) {
        Remove-Note -What 'running services'
    }
    Get-Stopped -Names $Names | ForEach-Object -Process { $_.Name }
}

# Stops where services that ran before do not run.
function Assert-Running {
    $Stopped = @(Restore-Service)
    if ($Stopped.Count -gt 0) {
        throw ('These services ran before and do not start: {0}. What to do: read the event log, start them, then run this script again.' -f ($Stopped -join ', '))
    }
}

# Stops for SYSTEM, and tells anybody else what XProtect will ask.
function Assert-Person {
    $System = $false
    try {
        $System = [System.Security.Principal.WindowsIdentity]::GetCurrent().IsSystem
    }
    catch {
        $null = $_
    }
    if ($System) {
        throw 'SYSTEM runs this script, and XProtect does not let it register a server. What to do: run it as a person who is in the role Administrators of XProtect.'
    }
    Write-Host -Object ('Server Configurator registers as {0}\{1}, who has to be in the role Administrators of XProtect.' -f $env:USERDOMAIN, $env:USERNAME)
}

# What may keep the management server from being switched, where it can be seen, or nothing.
function Get-Override {
    $Files = Get-ConfigurationFile
    try {
        $Address = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address/text()'
    }
    catch {
        return
    }
    $Here = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName(), 'localhost', '127.0.0.1')
    if ($Address -and (Test-Path -LiteralPath $Files.Management) -and $Here -notcontains $Address.Split('.')[0] -and $Here -notcontains $Address) {
        ' The recording server here is registered at {0}, though this computer has a management server: if somebody registered it with /overridelocalmanagementserver, undo that on the page Registering servers.' -f $Address
    }
}

# Registers this computer where a run before could switch the group, but not register it.
function Complete-Registration {
    param([string]$Group, [string]$Label)
    $Open = '{0}' -f (Read-Note)[('unregistered {0}' -f $Group)]
    if (-not $Open) {
        return ('{0} uses {1} already' -f $Group, (Get-Used -Label $Label))
    }
    if (-not $PSCmdlet.ShouldProcess($Group, 'ServerConfigurator.exe /quiet /register')) {
        return ('{0} uses {1}, but is not registered yet' -f $Group, (Get-Used -Label $Label))
    }
    $Run = Invoke-ServerConfigurator -Arguments '/quiet /register'
    if ($Endings[$Run.Code] -notlike 'done*') {
        throw ('{0} uses {1}, but Server Configurator answered {2} to /register: {3}.' -f $Group, (Get-Used -Label $Label), $Run.Code, (Get-Meaning -Code $Run.Code -Label $Label))
    }
    Remove-Note -What ('unregistered {0}' -f $Group)
    '{0} uses {1} and is registered now' -f $Group, (Get-Used -Label $Label)
}

# Notes with which code the registration of a group ended and is open, or that none is open.
function Set-Open {
    param([string]$Group, [string]$Code)
    if ($Code) {
        Set-Note -What ('unregistered {0}' -f $Group) -Value $Code
    }
    else {
        Remove-Note -What ('unregistered {0}' -f $Group)
    }
}

# Lets a certificate group use a certificate, or none when the label is empty, and reads back what
# the servers really use. The exit code is not believed.
function Set-GroupCertificate {
    param([string]$Group, [string]$Id, [string]$Label)
    if (Test-Uses -Group $Group -Label $Label) {
        return Complete-Registration -Group $Group -Label $Label
    }
    $Arguments = '/quiet /enableencryption /certificategroup={0} /thumbprint={1}' -f $Id, $Label
    if (-not $Label) {
        $Arguments = '/quiet /disableencryption /certificategroup={0}' -f $Id
    }
    if (-not $PSCmdlet.ShouldProcess($Group, ('ServerConfigurator.exe {0}' -f $Arguments))) {
        return ('{0} uses {1} still' -f $Group, (Get-Used -Label (Get-GroupCertificate -Group $Group)))
    }
    $Before = Get-Known -Group $Group
    Add-Before -What $Group -Was $Before
    if (-not (Read-Note)['running services']) {
        Set-Note -What 'running services' -Value (@(Get-RunningService) -join '|')
    }
    $Given = '{0}' -f (Read-Note)[('given {0}' -f $Group)]
    Remove-Note -What ('given {0}' -f $Group)
    # Noted before, so that a run that is killed leaves the registration open, and not forgotten.
    $Open = '{0}' -f (Read-Note)[('unregistered {0}' -f $Group)]
    Set-Note -What ('unregistered {0}' -f $Group) -Value 'begun'
    $Run = Invoke-ServerConfigurator -Arguments $Arguments
    $Ending = '{0}' -f $Endings[$Run.Code]
    if ($Ending -notlike 'not bound*') {
        $Given = $Label
    }
    if ($Given -and $Ending) {
        Set-Note -What ('given {0}' -f $Group) -Value $Given
    }
    if ($Ending -like 'done*') {
        $Open = ''
    }
    elseif ($Ending -notlike 'not bound*') {
        $Open = $Run.Code
    }
    Set-Open -Group $Group -Code $Open
    $Answer = 'Server Configurator answered {0}: {1}' -f $Run.Code, (Get-Meaning -Code $Run.Code -Label $Label)
    $Test = { Test-Uses -Group $Group -Label $Label }
    $Done = & $Test
    if (-not $Done -and $Ending -notlike 'not bound*') {
        $Done = Wait-Until -What ('{0} uses {1}' -f $Group, (Get-Used -Label $Label)) -Test $Test
    }
    $Now = Get-GroupCertificate -Group $Group
    Assert-Running
    if (-not $Done) {
        $Instead = ' still'
        if ($Label) {
            $Instead = ' and not {0}' -f $Label
        }
        throw ('{0} uses {1}{2}. {3}.{4}{5}' -f $Group, (Get-Used -Label $Now), $Instead, $Answer, (Get-Why -What $Group), (Get-Override))
    }
    if ($Ending -notlike 'done*') {
        throw ('{0} uses {1}, but {2}.' -f $Group, (Get-Used -Label $Now), $Answer)
    }
    if ($Now -eq 'unknown') {
        return ('{0} was given {1}, encrypts, and does not say with what; {2}' -f $Group, $Label, $Answer)
    }
    '{0} uses {1} now; {2}' -f $Group, (Get-Used -Label $Now), $Answer
}

# What a group uses before it is switched; of one that does not say it, what this kit gave it. What
# can't be read now may be readable in a while, and is not switched before it is.
function Get-Known {
    param([string]$Group)
    $Read = {
        $null = Get-CertificateInUse
        -not $Unread.ContainsKey($Group)
    }
    if (-not (Wait-Until -What ('{0} can be read' -f $Group) -Test $Read)) {
        throw ('What {0} uses now can not be read: {1}. What to do: let its service start, or restore its file, then run this script again.' -f $Group, $Unread[$Group])
    }
    $Now = Get-GroupCertificate -Group $Group
    $Given = Get-Given -Group $Group -Now $Now
    if ($Given) {
        return $Given
    }
    $Now
}
