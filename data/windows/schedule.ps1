<#
.SYNOPSIS
    Lets Windows run one program every day, and tells whether it has.
.DESCRIPTION
    Register makes the task. It runs while nobody is logged on, as the person who runs this script:
    SYSTEM would run a program that this person can change. No password is kept (S4U), so the task
    reaches no file shares and no encrypted files. A day on which the computer was off is made up
    for. Each run adds to the log, even when there was nothing to tell. Look says when that was, and
    what came of the last run: 0 nothing new, 1 somebody has to act, 2 it could not look. Remove
    takes the task away and leaves the log. Every action may be repeated. One line says how it went;
    the exit code is 0, or 1 where that line says what is wrong.
.PARAMETER Action
    Register, Look or Remove.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File schedule.ps1
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File schedule.ps1 Look
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Position = 0)]
    [string]$Action = 'Register'
)

# part: language

# inputs: begin
$TaskName = ''
$Program = ''
$Arguments = ''
$Time = ''
$Log = ''
# inputs: end

function Assert-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal]::new([System.Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'administrator rights are missing. Run the script as administrator.'
    }
}

function Assert-Cmdlet {
    if (-not (Get-Command -Name 'Register-ScheduledTask' -ErrorAction SilentlyContinue)) {
        throw 'this Windows has no Register-ScheduledTask (Windows 7 and Windows Server 2008 R2 lack it). Make the task by hand in its Task Scheduler, or on another computer.'
    }
}

function Test-Task {
    @(Get-ScheduledTask -TaskName $TaskName -TaskPath '\' -ErrorAction SilentlyContinue).Count -gt 0
}

function Add-Task {
    $Run = New-ScheduledTaskAction -Execute ('"{0}"' -f $Program) -Argument $Arguments
    $Trigger = New-ScheduledTaskTrigger -Daily -At $Time
    $Person = [System.Security.Principal.WindowsIdentity]::GetCurrent().Name
    $Principal = New-ScheduledTaskPrincipal -UserId $Person -LogonType S4U -RunLevel Limited
    $Settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
    [void](Register-ScheduledTask -TaskName $TaskName -TaskPath '\' -Action $Run -Trigger $Trigger -Principal $Principal -Settings $Settings -Force -ErrorAction Stop)
}

# When the log was written last, and whether that is too long ago for a task of every day.
function Get-LastRun {
    if (-not (Test-Task)) {
        throw ('there is no task {0}. Run this script with Register first.' -f $TaskName)
    }
    $Said = (Get-ScheduledTaskInfo -TaskName $TaskName -TaskPath '\' -ErrorAction Stop).LastTaskResult
    if (-not (Test-Path -LiteralPath $Log)) {
        throw ('it has not run yet: there is no {0}. The last result is {1}.' -f $Log, $Said)
    }
    $When = [System.IO.File]::GetLastWriteTime($Log)
    $Day = $When.ToString('yyyy-MM-dd HH:mm', [System.Globalization.CultureInfo]::InvariantCulture)
    if ($When -lt [System.DateTime]::Now.AddHours(-26)) {
        throw ('it has not run since {0}. The last result is {1}; look into the history of the task.' -f $Day, $Said)
    }
    'it ran on {0}, and the last result is {1}. What it told is in {2}.' -f $Day, $Said, $Log
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 0
$Result = 'nothing was changed.'
try {
    Assert-Cmdlet
    if (@('Register', 'Look', 'Remove') -notcontains $Action) {
        throw ('the action {0} is unknown. Write Register, Look or Remove.' -f $Action)
    }
    if ($Action -eq 'Look') {
        $Result = Get-LastRun
    }
    elseif ($Action -eq 'Remove' -and -not (Test-Task)) {
        $Result = 'nothing to do.'
    }
    elseif ($PSCmdlet.ShouldProcess($TaskName, $Action)) {
        Assert-Administrator
        if ($Action -eq 'Register') {
            Add-Task
        }
        else {
            Unregister-ScheduledTask -TaskName $TaskName -TaskPath '\' -Confirm:$false -ErrorAction Stop
        }
        if ((Test-Task) -ne ($Action -eq 'Register')) {
            throw 'Windows did not keep the change. Look into the Task Scheduler.'
        }
        $Result = 'done.'
    }
    Write-Output ('{0}, {1}: {2}' -f $env:COMPUTERNAME, $Action, $Result)
}
catch {
    $Code = 1
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}
exit $Code
